"""Evolution over the children of pretrained networks, with budgets on statistics that are counted part by part."""

import numpy as np
import pytest

from narsfast.arch import Family, create_model
from narsfast.cost import Counter
from narsfast.search import evolve, pareto, sample_pool
from narsfast.search._evolve import _NativeEngine
from narsfast.search._reference import ReferenceEngine
from narsfast.space import Space

from .test_evolve import assert_same, check_result, make_pool, quantiles, weighted_score


@pytest.fixture(scope="module")
def counter():
    """Provide a counter of the children of two networks, and of one that takes part whole."""
    architecture, parents = {"parent": {"choices": ["mobilenet_v3_small", "mnasnet1_0", "shufflenet"]}}, []
    for name in ("mobilenet_v3_small", "mnasnet1_0"):
        definition = create_model(name).definition
        fields = dict(Family(definition).fields)
        architecture["resolution"] = fields.pop("resolution")
        architecture |= {f"{name}.{field}": spec for field, spec in fields.items()}
        parents.append({"reference": name, "name": name, "definition": definition.to_dict()})
    parents.append({"reference": "torchvision:shufflenet_v2_x0_5", "name": "shufflenet"})
    architecture["resolution"] = {"range": [64, 128, 32]}
    return Counter(Space.from_dict({"name": "two", "parents": parents, "architecture": architecture}), 3, 10)


def test_engines_agree(counter):
    score = weighted_score(counter.space)
    pool = make_pool(counter)
    budgets = quantiles(pool, counter, 0.2, 0.8)
    results = [
        evolve(score, counter, budgets, pool, pool.genes[:5], 3, generations=12, engine=engine)
        for engine in (_NativeEngine(), ReferenceEngine())
    ]
    assert_same(*results)
    for result in results[0]:
        check_result(result, counter, score, pool)
        parents = {candidate.architecture["parent"] for candidate in counter.space.decode(result.genes)}
        assert parents <= {"mobilenet_v3_small", "mnasnet1_0", "shufflenet"}


def test_fronts_are_found(counter):
    pool = make_pool(counter)
    budget = quantiles(pool, counter, 0.9)[0]
    front = pareto(
        weighted_score(counter.space), counter, ["macs"], budget, pool, pool.genes[:0], 3, generations=5
    )
    macs = front.statistics[:, counter.names.index("macs")]
    assert (np.diff(macs) > 0).all()
    assert (np.diff(front.scores) > 0).all()


def test_pools_keep_their_bounds(counter):
    low, high = 2e6, 20e6
    budget = quantiles(make_pool(counter), counter, 0.5)[0]
    budget = type(budget)({"macs": (low, high)})
    pool = sample_pool(counter, budget, 200, 0)
    macs = pool.statistics[:, counter.names.index("macs")]
    assert len(pool.genes) == 200
    assert (macs >= low).all()
    assert (macs <= high).all()
