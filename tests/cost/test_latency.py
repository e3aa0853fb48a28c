"""Latency tables: measurement, interpolation, sums and refusals. No test asserts a time."""

import json

import numpy as np
import pytest
from torch import nn

from narsfast.arch import FusedResidual, lower_genes, network_settings
from narsfast.cost import LATENCY, STATISTICS, Budget, Counter, LatencyTable, named
from narsfast.cost import _measure as measuring
from narsfast.cost._latency import held_out_error, interpolated, without_defaults
from narsfast.cost._reference import count_rows_reference
from narsfast.errors import UserError
from narsfast.ops import Conv2dSame
from narsfast.space import Space, load_space

SMALL = "tests/small.yaml"


def all_parts(space):
    parts = Counter(space, 1, 10).native.parts
    return without_defaults(np.unique(parts[parts[:, -1] > 0, :-1], axis=0))


def model(parts):
    """Return a latency that can be interpolated: a constant plus the multiply-adds of the expansion."""
    inputs, outputs, side = (parts[:, column].astype(float) for column in (3, 4, 7))
    return 0.1 + 1e-5 * inputs * outputs * side**2


def table(space, share=1.0, **changes):
    parts = all_parts(space)
    parts = parts[np.random.default_rng(0).permutation(len(parts))[: max(12, int(share * len(parts)))]]
    fields = {
        "space": space.to_dict(),
        "in_chans": 1,
        "num_classes": 10,
        "batch": 1,
        "threads": 1,
        "machine": "none",
        "torch": "0",
        "ops": "fused",
        "parts": parts.tolist(),
        "milliseconds": model(parts).tolist(),
        "of": len(all_parts(space)),
        "part_error": 0.0,
    }
    return LatencyTable.model_validate(fields | changes)


@pytest.fixture(scope="module")
def small():
    return load_space(SMALL)


def test_latency_is_the_sum_of_the_parts(small):
    """The expected value is summed over the rows, part by part."""
    genes = small.random(50, seed=2)
    counter = Counter(small, 1, 10, latency=table(small))
    assert counter.names == (*STATISTICS, LATENCY)
    counted = counter(genes)
    assert counted.dtype == np.float64
    header, rows = lower_genes(small, genes)
    assert np.array_equal(counted[:, :7], count_rows_reference(lower_genes(small, genes), 1, 10))
    for candidate, (resolution, stem, expansion, features) in enumerate(header[:, :4].tolist()):
        parts = [[0, 3, 0, 1, stem, 2, 0, resolution]]
        channels, side = stem, (resolution + 1) // 2
        for kernel, expand, out, stride, repeats, se in rows[candidate, :, :6].tolist():
            for _ in range(repeats):
                parts.append([1, kernel, expand, channels, out, stride, se, side])
                channels, side = out, (side + stride - 1) // stride
        parts.append([2, 0, expansion, channels, features, 1, 0, side])
        assert counted[candidate, 7] == pytest.approx(model(np.array(parts)).sum(), rel=1e-12)


def test_scale_multiplies_the_latency(small):
    genes = small.random(20, seed=2)
    one = Counter(small, 1, 10, latency=table(small))(genes)
    three = Counter(small, 1, 10, latency=table(small, scale=3.0))(genes)
    assert three[:, 7] == pytest.approx(3 * one[:, 7])


def test_untimed_parts_are_interpolated():
    parts = all_parts(load_space("tiny"))
    picked = np.random.default_rng(1).permutation(len(parts))
    timed, others = parts[picked[:600]], parts[picked[600:]]
    error = np.abs(interpolated(timed, model(timed), others) / model(others) - 1)
    assert np.median(error) < 0.05
    assert held_out_error(timed, model(timed)) < 0.05
    assert held_out_error(timed[:9], model(timed[:9])) is None


def test_table_survives_writing_and_reading(small, tmp_path):
    file = tmp_path / "latency.json"
    written = table(small)
    written.write(file)
    assert LatencyTable.read(file) == written
    assert LatencyTable.read(file).label() == written.label()
    assert table(small, threads=2).label() != written.label()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("{", "not a latency table"),
        ('{"format": 9}', "format is 9"),
        ("[]", "format is None"),
    ],
)
def test_read_refuses_files_that_are_not_tables(content, message, tmp_path):
    file = tmp_path / "latency.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UserError, match=message):
        LatencyTable.read(file)


def test_read_names_the_wrong_field(small, tmp_path):
    file = tmp_path / "latency.json"
    file.write_text(json.dumps(table(small).model_dump(mode="json") | {"batch": "many"}))
    with pytest.raises(UserError, match="batch"):
        LatencyTable.read(file)


def test_counter_refuses_a_table_that_lacks_parts_of_the_space(small):
    latencies = table(small)
    Counter(small.fix({"stem.channels": 8}), 1, 10, latency=latencies)
    with pytest.raises(UserError, match="2 stages and not 4"):
        Counter(load_space("tiny"), 1, 10, latency=latencies)
    with pytest.raises(UserError, match=r"stem\.channels is never 24"):
        Counter(small.override({"stem.channels": {"choices": [8, 24]}}), 1, 10, latency=latencies)
    with pytest.raises(UserError, match="1 channels and 10 classes, not 3 and 10"):
        Counter(small, 3, 10, latency=latencies)


def test_named_keeps_integers():
    rows = named(("macs", LATENCY), np.array([[12.0, 0.5]]))
    assert rows == [{"macs": 12, LATENCY: 0.5}]
    assert isinstance(rows[0]["macs"], int)


def test_budget_reads_and_writes_milliseconds():
    budget = Budget.parse("latency=1.5:8ms,macs=1M")
    assert budget.bounds["latency"] == (1.5, 8.0)
    assert Budget.parse(budget.text()) == budget
    assert budget.label() == "1.5ms<=latency<=8ms,macs<=1M"
    assert Budget.parse("latency=2000ms").text() == "latency=2000ms"
    with pytest.raises(UserError, match="macs=8ms"):
        Budget.parse("macs=8ms")


@pytest.fixture
def clock(monkeypatch):
    """Replace the clock: modules take a time by their parameters, and the limit is reached after `limit` modules."""

    class Clock:
        limit = 10**9
        timed = 0

    def milliseconds(module, x):
        Clock.timed += 1
        module(x)
        return 1e-4 * sum(parameter.numel() for parameter in module.parameters())

    monkeypatch.setattr(measuring, "_milliseconds", milliseconds)
    monkeypatch.setattr(measuring.time, "monotonic", lambda: float(Clock.timed >= Clock.limit) * 1e9)
    return Clock


def test_measure_latency_times_every_part_within_the_limit(small, clock):
    measured = measuring.measure_latency(small, 1, 10, seconds=1)
    assert measured.of == len(measured.parts) == len(all_parts(small))
    assert {tuple(part) for part in all_parts(small).tolist()} == set(measured.parts)
    assert measured.networks == measuring.NETWORKS // 2
    # With this clock the latency of a network is exactly the sum of its parts.
    assert measured.network_error < 1e-6
    assert measured.network_spearman == pytest.approx(1)
    assert (measured.batch, measured.threads, measured.ops) == (1, 1, "fused")


def test_parts_with_options_add_up_to_whole_networks(clock):
    """Activations do not count with this clock, but kinds of blocks, squeeze-excites and heads do."""
    space = load_space("tests/options.yaml")
    measured = measuring.measure_latency(space, 1, 10, seconds=1)
    assert measured.of == len(measured.parts) == len(all_parts(space))
    assert {len(part) for part in measured.parts} == {12}
    assert measured.network_error < 1e-6
    assert measured.network_spearman == pytest.approx(1)
    assert LatencyTable.from_dict(measured.model_dump(mode="json")) == measured


def test_parts_with_options_are_modules_with_them():
    space = load_space("tests/options.yaml")
    settings = network_settings(space)
    part = [1, 3, 4, 8, 16, 2, 1, 16, 3, 0, 5, -18]
    stages, image = measuring._part(part, 1, 10, settings)
    (block,) = stages[0]
    inner = block.depthwise
    assert (image.shape, block.start[0].kernel_size) == ((1, 8, 16, 16), (5, 5))
    assert isinstance(block.expand[2], nn.SiLU)
    assert isinstance(inner.se.act, nn.ReLU)
    assert isinstance(inner.se.gate, nn.Sigmoid)
    assert isinstance(inner.conv, Conv2dSame)
    assert (inner.se.reduce.out_channels, inner.norm.eps) == (8, 0.001)
    fused, _ = measuring._part([1, 3, 4, 8, 16, 1, 0, 16, 1, 1, 0, 0], 1, 10, settings)
    assert isinstance(fused[0][0], FusedResidual)


def test_table_of_another_activation_is_refused(small):
    relu = Space.from_dict(
        {**small.to_dict(), "architecture": small.to_dict()["architecture"] | {"act": "relu"}}
    )
    with pytest.raises(UserError, match="act is never 'relu'"):
        Counter(relu, 1, 10, latency=table(small))
    with pytest.raises(UserError, match="act is never 'hard_swish'"):
        Counter(small, 1, 10, latency=table(relu))
    assert Counter(relu, 1, 10, latency=table(relu)).names[-1] == LATENCY


def test_measure_latency_stops_at_the_limit_with_every_kind_timed(small, clock):
    clock.limit = 30
    measured = measuring.measure_latency(small, 1, 10, seconds=1)
    assert len(measured.parts) == 30 < measured.of
    assert {part[0] for part in measured.parts} == {0, 1, 2}


def test_measure_latency_restores_the_number_of_threads(small):
    import torch

    before = torch.get_num_threads()
    measured = measuring.measure_latency(small, 1, 10, batch=2, seconds=0)
    assert len(measured.parts) == 20
    assert min(measured.milliseconds) > 0
    assert torch.get_num_threads() == before


def test_measure_latency_refuses_a_space_without_stages(tmp_path):
    path = tmp_path / "table.yaml"
    path.write_text("name: table\narchitecture: {width: {choices: [1, 2]}}\nrecipe: {batch_size: 4}\n")
    with pytest.raises(UserError, match="nothing to time"):
        measuring.measure_latency(load_space(path), 1, 10)
