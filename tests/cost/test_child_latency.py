"""Latency of children: additive over parts, joint for networks that take part whole. No test asserts a time."""

import numpy as np
import pytest

from narsfast.arch import specs_of
from narsfast.cost import LATENCY, STATISTICS, Budget, Counter, LatencyTable
from narsfast.cost import _measure as measuring
from narsfast.cost._child_keys import CHILD_COLUMNS, KINDS, child_module, child_regressors
from narsfast.cost._child_parts import child_keys
from narsfast.cost._network import count_whole
from narsfast.errors import UserError
from narsfast.search import evolve, sample_pool
from narsfast.search._evolve import _NativeEngine
from narsfast.search._reference import ReferenceEngine
from narsfast.space import Space, load_space

from .test_child_parts import children

WHOLE = {"shuffle": "torchvision:shufflenet_v2_x0_5"}
FEW = {"resolution": {"choices": [32, 64]}}
NAMES = ["efficientnet_lite0", "mobilenet_v3_small", "mobilenetv4_conv_small"]


def of_parameters(module, side):
    """Take milliseconds from the parameters, in the place of a clock; of networks of torchvision from the side, too."""
    whole = hasattr(module, "conv5")
    return 1e-3 * sum(p.numel() for p in module.parameters()) + (10 * side if whole else 0)


@pytest.fixture
def clock(monkeypatch):
    """Replace the clock; the limit is reached after `limit` modules."""

    class Clock:
        limit = 10**9
        timed = 0

    def milliseconds(module, x):
        Clock.timed += 1
        if Clock.timed <= 3:
            module(x)
        return of_parameters(module, x.shape[-1])

    monkeypatch.setattr(measuring, "_milliseconds", milliseconds)
    monkeypatch.setattr(measuring.time, "monotonic", lambda: float(Clock.timed >= Clock.limit) * 1e9)
    return Clock


def thin(names, whole=None, keep=(), **changed):
    """Return a space around parents of which most fields are the parent's own."""
    full = children(names, whole, **(FEW | changed))
    kept = ("stage2.hidden", "stage3.depth", "stage3.kernel", "stage4.width", *keep)
    fixed = {
        name: full.values(name)[-1]
        for field in full.fields
        for name in field.fills
        if field.part == "architecture" and "." in name and name.partition(".")[2] not in kept
    }
    return full.fix(fixed)


@pytest.mark.parametrize("name", NAMES[1:])
def test_sums_of_parts_are_whole_networks(name, clock):
    """With this clock the latency of a network is that of its parts."""
    space = thin([name])
    table = measuring.measure_latency(space, 3, 10, seconds=1)
    assert table.of == len(table.parts) == len(child_keys(space, 3, 10, count_whole))
    assert table.network_error < 1e-6
    assert table.scale == pytest.approx(1)
    table = LatencyTable.from_dict(table.model_dump(mode="json"))
    genes = space.random(30, 5)
    counter = Counter(space, 3, 10, latency=table)
    counted = counter(genes)
    direct = [of_parameters(spec.build(10), 0) for spec in specs_of(space, space.decode(genes))]
    np.testing.assert_allclose(counted[:, counter.names.index(LATENCY)], direct, rtol=1e-9)
    assert (counted[:, : len(STATISTICS)] == Counter(space, 3, 10)(genes)).all()


def test_networks_that_take_part_whole_have_their_own_times(clock):
    space = thin(NAMES[1:2], WHOLE, resolution={"choices": [32, 64, 96]})
    table = measuring.measure_latency(space, 3, 10, seconds=1).model_copy(update={"scale": 3.0})
    counter = Counter(space, 3, 10, latency=table)
    genes = space.random(40, 0)
    seen = set()
    for spec, latency in zip(specs_of(space, space.decode(genes)), counter(genes)[:, -1], strict=True):
        factor = 1 if isinstance(spec.source, str) else 3
        seen.add((factor, spec.resolution))
        assert latency == pytest.approx(factor * of_parameters(spec.build(10), spec.resolution), rel=1e-9)
    assert len(seen) == 6


def test_whole_networks_alone_have_a_table(clock):
    other = {"larger": "torchvision:shufflenet_v2_x1_0"}
    space = children([], WHOLE | other, resolution={"range": [64, 128, 32]})
    table = measuring.measure_latency(space, 1, 7, seconds=1)
    assert (len(table.parts), table.networks, table.part_error, table.network_error) == (6, 0, None, None)
    table = LatencyTable.from_dict(table.model_dump(mode="json"))
    counter = Counter(space, 1, 7, latency=table)
    assert len(np.unique(counter(space.random(50, 0))[:, -1])) == 6


def test_sides_of_whole_networks_between_those_timed_are_interpolated(clock):
    space = children([], WHOLE, resolution={"range": [32, 128, 32]})
    table = measuring.measure_latency(space, 3, 10, seconds=1)
    ends = [row for row in zip(table.parts, table.milliseconds, strict=True) if row[0][7] in (32, 128)]
    short = table.model_copy(update={"parts": tuple(part for part, _ in ends), "milliseconds": (2.0, 8.0)})
    (column,) = np.flatnonzero(space.sizes > 1)
    genes = np.zeros((4, len(space.fields)), np.int16)
    genes[:, column] = np.arange(4)
    assert Counter(space, 3, 10, latency=short)(genes)[:, -1] == pytest.approx([2, 4, 6, 8])


def test_the_limit_leaves_parts_of_every_kind(clock):
    space = children(NAMES, WHOLE, resolution={"range": [64, 128, 16]})
    clock.limit = 60
    table = measuring.measure_latency(space, 3, 10, seconds=1)
    assert len(table.parts) == 60 < table.of
    assert {part[0] for part in table.parts} == set(range(len(KINDS)))
    assert [(part[0], part[7]) for part in table.parts[:2]] == [(3, 64), (3, 128)]
    assert {part[-1] for part in table.parts} == {0, 1, 2, 3}
    latency = Counter(space, 3, 10, latency=table)(space.random(100, 0))[:, -1]
    assert np.isfinite(latency).all()
    assert latency.min() > 0


def test_parts_that_were_not_timed_are_near():
    space = children(NAMES[:2], resolution={"range": [64, 128, 32]})
    keys = child_keys(space, 3, 10, count_whole)
    keys = keys[np.random.default_rng(0).permutation(len(keys))][:1500]
    part = {name: keys[:, i].astype(float) for i, name in enumerate(CHILD_COLUMNS)}
    true = 0.1 + 1e-6 * part["in"] * np.maximum(part["hidden"], 1) * part["side"] ** 2
    fit = measuring.child_interpolation(keys[:1000], true[:1000], 2)
    assert np.median(np.abs(fit(keys[1000:]) / true[1000:] - 1)) < 0.06
    assert np.isfinite(child_regressors(keys, 2)).all()


@pytest.mark.parametrize(
    "name", ["mobilenet_v3_small", "mobilenetv4_conv_small", "efficientnet_b0", "tf_efficientnet_lite0"]
)
def test_parts_are_modules_of_the_network(name):
    """Parameters and output shapes of the parts of the parent are those of its stem, blocks and head."""
    space = children([name], resolution=64)
    whole = space.fix(
        {n: space.values(n)[-1] for f in space.fields for n in f.fills if f.part == "architecture"}
    )
    (spec,) = specs_of(whole, whole.decode(whole.random(1, 0)))
    network = spec.build(10)
    wanted = [network.stem, *(block for stage in network.stages for block in stage), network.head]
    wanted = sorted(sum(p.numel() for p in module.parameters()) for module in wanted)
    found = {}
    for key in child_keys(whole, 3, 10, count_whole).tolist():
        module, image = child_module(key, whole.parents, 2, 10)
        found[sum(p.numel() for p in module.parameters())] = module(image).shape
    assert sorted(set(wanted)) == sorted(found)
    assert all(shape[0] == 2 for shape in found.values())


def test_evolution_keeps_a_latency(clock):
    space = thin(NAMES[:2], WHOLE)
    table = measuring.measure_latency(space, 3, 10, seconds=1)
    counter = Counter(space, 3, 10, latency=table)
    pool = sample_pool(counter, None, 200, 0)
    budget = Budget({LATENCY: tuple(np.quantile(pool.statistics[:, -1], [0.2, 0.5]))})
    score = lambda genes: genes.sum(axis=1).astype(float)  # noqa: E731
    native, reference = (
        evolve(score, counter, [budget], pool, pool.genes[:0], 3, generations=8, engine=engine)[0]
        for engine in (_NativeEngine(), ReferenceEngine())
    )
    assert np.array_equal(native.genes, reference.genes)
    assert budget.within(native.statistics, counter.names).all()


def test_tables_of_other_spaces_are_refused(clock):
    space = thin(NAMES[:2])
    table = measuring.measure_latency(space, 3, 10, seconds=1)

    def refused(other, *sizes):
        with pytest.raises(UserError, match="measure one for it with `narsfast latency measure`") as error:
            Counter(other, *(sizes or (3, 10)), latency=table)
        return str(error.value)

    one = thin(NAMES[:1])
    assert Counter(one, 3, 10, latency=table)(one.random(5, 0)).shape == (5, len(STATISTICS) + 1)
    assert "which has no parent mobilenetv4_conv_small" in refused(thin(NAMES[2:]))
    assert "in which resolution is never 96" in refused(thin(NAMES[:1], resolution=96))
    wider = {"efficientnet_lite0.stage5.hidden": {"choices": [25, 100]}}
    assert "efficientnet_lite0.stage5.hidden is never 25" in refused(
        thin(NAMES[:1], keep=["stage5.hidden"], **wider)
    )
    assert "channels and 10 classes, not 1 and 10" in refused(one, 1, 10)
    data = one.to_dict()
    data["parents"][0]["definition"]["act"] = "silu"
    assert "whose parent efficientnet_lite0 is another network" in refused(Space.from_dict(data))
    assert "whose networks are children of efficientnet_lite0, mobilenet_v3_small" in refused(
        load_space("tiny")
    )
