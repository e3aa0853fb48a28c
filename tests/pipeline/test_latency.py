"""A run with a latency budget, from the table to the files; no test asserts a time."""

import json
from pathlib import Path

import numpy as np
import pytest

from narsfast import pipeline
from narsfast.cost import Budget, Counter, LatencyTable, _measure
from narsfast.errors import UserError
from narsfast.pipeline._checks import check_budget
from narsfast.pipeline._config import resolve_config
from narsfast.runs import RunStore
from narsfast.search import Pool, evolve
from narsfast.search._evolve import _NativeEngine
from narsfast.search._reference import ReferenceEngine
from narsfast.space import load_space

pytestmark = pytest.mark.usefixtures("always_few_steps")

ENGINES = (_NativeEngine(), ReferenceEngine())

SMALL = Path(__file__).parent.parent / "small.yaml"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Write a table whose milliseconds are parameters, so that every machine has the same."""
    file = tmp_path_factory.mktemp("latency") / "latency.json"
    with pytest.MonkeyPatch.context() as patch:
        count = lambda module, x: 1e-3 * sum(p.numel() for p in module.parameters())  # noqa: E731
        patch.setattr(_measure, "_milliseconds", count)
        pipeline.measure_latency({"space": str(SMALL)}).write(file)
    return file


@pytest.fixture(scope="module")
def options(table, few_images):
    small = {
        "data": few_images,
        "pool_size": 128,
        "trials_per_batch": 2,
        "finalists": 1,
        "iterations": 1,
        "epochs": 2,
        "final_epochs": 1,
        "ensemble_members": 2,
    }
    return small | {"space": str(SMALL), "latency": str(table), "budgets": ["latency=6:12ms"]}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, options):
    path = tmp_path_factory.mktemp("runs") / "fast"
    return path, pipeline.run(path, options, workers=1)


def test_the_found_keeps_its_latency_everywhere(finished, options, run_narsfast):
    path, results = finished
    assert [result.budget for result in results] == ["6ms<=latency<=12ms"]
    with RunStore.read(path) as run:
        rows = {row.id: row for row in run.facts.families[0].candidates}
        found = rows[results[0].candidate].statistics
        assert LatencyTable.from_dict(run.facts.latency) == LatencyTable.read(options["latency"])
        assert "latency" in run.facts.predictor_pretraining
        assert all(isinstance(row["macs"], int) for row in run.facts.statistics.values())
    assert 6 <= found["latency"] <= 12
    emission = json.loads((path / results[0].directory / "emission.json").read_text())
    assert emission["statistics"] == found
    assert "latency, ms" in (path / results[0].directory / "README.md").read_text()
    assert "latency (ms)" in (path / "report.html").read_text()
    _, out, _ = run_narsfast("best", path, "--json")
    assert json.loads(out)["results"][0]["latency"] == found["latency"]
    assert "latency ms" in run_narsfast("best", path)[1]


def test_going_on_takes_the_stored_table_and_no_other(finished, options, tmp_path):
    path, results = finished
    assert pipeline.run(path, workers=1) == results
    assert pipeline.run(path, options, workers=1) == results
    other = tmp_path / "other.json"
    LatencyTable.read(options["latency"]).model_copy(update={"threads": 2}).write(other)
    with pytest.raises(UserError, match=r"latency .*1 thread,.* 2 threads"):
        pipeline.open_search(path, options | {"latency": str(other)})


def test_a_latency_budget_needs_a_table(options, tmp_path):
    without = {name: value for name, value in options.items() if name != "latency"}
    with pytest.raises(UserError, match=r"^budget 'latency=.*' needs a latency table"):
        resolve_config(without)
    with pytest.raises(UserError, match=r"^pool_bounds 'latency=8ms' needs a latency table"):
        resolve_config(without | {"budgets": ["macs=1M"], "pool_bounds": "latency=8ms"})
    with pipeline.open_search(tmp_path / "run", without | {"budgets": ["macs=1M"]}, workers=1) as search:
        pool = search.pool
        with pytest.raises(UserError, match="needs a latency table"):
            check_budget(search, Budget.parse("latency=8ms"), pool)


def test_the_pool_keeps_a_latency(options, tmp_path):
    bounded = options | {"pool_bounds": "latency=7:20ms"}
    with pipeline.open_search(tmp_path / "run", bounded, workers=1) as search:
        pool = search.pool
        latency = pool.statistics[:, search.counter.names.index("latency")]
    assert 7 <= latency.min() <= latency.max() <= 20


def test_evolution_keeps_it_and_equals_the_reference(table):
    space = load_space(SMALL)
    counter = Counter(space, 1, 10, latency=LatencyTable.read(table))
    genes = np.unique(space.random(300, 1), axis=0)
    pool = Pool(genes, counter(genes))
    budget = Budget({"latency": tuple(np.quantile(pool.statistics[:, 7], [0.3, 0.6]))})
    native, reference = (
        evolve(lambda g: g.sum(axis=1).astype(float), counter, [budget], pool, genes[:0], 3, engine=engine)[0]
        for engine in ENGINES
    )
    assert np.array_equal(native.genes, reference.genes)
    assert np.array_equal(native.statistics, reference.statistics)
    assert budget.within(native.statistics, counter.names).all()


def test_measure_writes_and_tells(run_narsfast, tmp_path):
    file = tmp_path / "latency.json"
    measure = ("latency", "measure", "--space", SMALL, "--seconds", "0", "--out", file)
    code, out, _ = run_narsfast(*measure, "--batch-size", "2", "--json", "--fix", "stem.channels=8")
    told = json.loads(out)
    made = LatencyTable.read(file)
    assert code == 0
    assert told["batch"] == made.batch == 2
    assert made.space["architecture"]["stem.channels"] == 8
    assert told["networks"] == made.networks >= 3
    assert "Spearman" in run_narsfast(*measure)[1]
