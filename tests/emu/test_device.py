"""Dependence on thread order, missing barriers and wasted memory traffic; and that the emulator finds them."""

import pytest
import torch

from . import cases
from .calls import Calls


def inputs(dtype, size=14, channels=64, kernel=5, images=2):
    g = cases.generator()
    x = cases.map_of(g, (images, size, size, channels), dtype)
    weight = torch.randn(channels, kernel, kernel, generator=g)
    return x, weight, cases.norm_of(g, channels, "silu"), cases.excite_of(g, channels, 8, gate="sigmoid")


def forward(calls, x, weight, norm, excite):
    convolved = calls.convolve(x, weight, 1, weight.shape[-1] // 2)
    return convolved, calls.normalize(convolved.y, norm, excite)


def backward(calls, x, weight, norm, excite, y, forward):
    sums = calls.reduce(y, x, norm, excite, forward)
    gradient = gradient_of(x, norm, y, forward, sums)
    return sums, calls.convolve_gradient(gradient, x, weight, 1, weight.shape[-1] // 2, norm)


def gradient_of(x, norm, y, forward, sums):
    """Return the arguments of calls.Calls.gradient, x standing for d_out."""
    values = {"gate": forward.gate, "d_pooled": sums.d_pooled, "d_weight": sums.d_weight}
    values |= {"d_bias": sums.d_bias, "count": y[..., 0].numel(), "gate_kind": "sigmoid"}
    return {"y": y, "d_out": x, "norm": norm, **values}


def everything(calls, x, weight, norm, excite):
    convolved, normalized = forward(calls, x, weight, norm, excite)
    sums, gradients = backward(calls, x, weight, norm, excite, convolved.y, normalized)
    inferred = calls.infer(x, weight, 1, weight.shape[-1] // 2, None, norm, excite)
    moments = calls.moments(x)
    return [
        v for part in (convolved, normalized, sums, gradients, inferred, moments) for v in vars(part).values()
    ]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_results_do_not_depend_on_thread_order(emu, dtype):
    x, weight, norm, excite = inputs(dtype, size=9, channels=40)
    results = []
    for seed in (0, 1, 2):
        options = emu.Options()
        options.seed = seed
        emu.set_options(options)
        results.append(everything(Calls(emu), x, weight, norm, excite))
    assert not any(bool(value.isnan().any()) for value in results[0])
    assert same(results[0], results[1])
    assert same(results[0], results[2])


# Barriers without which a result must change; the others only guard memory that is used again.
BARRIERS = [
    ("convolve", 0), ("convolve_gradient", 0), ("convolve_gradient", 1), ("infer", 0),
    ("moments", 1), ("normalize", 1), ("reduce", 1),
]  # fmt: skip


@pytest.mark.parametrize(("name", "barrier"), BARRIERS)
def test_missing_barrier_changes_the_result(emu, name, barrier):
    x, weight, norm, excite = inputs(torch.float32, size=9, channels=32)
    convolved, normalized = forward(Calls(emu), x, weight, norm, excite)
    sums = Calls(emu).reduce(convolved.y, x, norm, excite, normalized)
    gradient = gradient_of(x, norm, convolved.y, normalized, sums)
    run = {
        "convolve": lambda c: c.convolve(x, weight, 1, 2),
        "moments": lambda c: c.moments(x),
        "normalize": lambda c: c.normalize(x, norm, excite),
        "reduce": lambda c: c.reduce(convolved.y, x, norm, excite, normalized),
        "convolve_gradient": lambda c: c.convolve_gradient(gradient, x, weight, 1, 2),
        "infer": lambda c: c.infer(x, weight, 1, 2, None, norm, excite),
    }[name]
    whole = list(vars(run(Calls(emu))).values())
    broken = []
    for seed in (1, 2, 3):
        options = emu.Options()
        options.seed, options.dropped_barrier = seed, barrier
        emu.set_options(options)
        broken.append(not same(whole, list(vars(run(Calls(emu))).values())))
    assert any(broken)


@pytest.mark.parametrize("in_warp", [False, True])
def test_divergent_barriers_raise(emu, in_warp):
    with pytest.raises(RuntimeError, match="divergent barriers"):
        emu.diverge(in_warp)


class Traffic:
    """Count the memory traffic of `run`: passes over a map of x's size, and the used share of the sectors touched."""

    def __init__(self, emu, x, run):
        options = emu.Options()
        options.count = True
        emu.set_options(options)
        emu.take_counters()
        run()
        taken = emu.take_counters()
        emu.set_options(emu.Options())
        moved = taken.map_read + taken.map_written
        self.passes = moved / (x.numel() * x.element_size())
        self.efficiency = moved / (32 * taken.map_sectors)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("size", [14, 28, 40])
def test_passes_over_the_map(emu, size, kernel, dtype, record_property):
    x, weight, norm, excite = inputs(dtype, size, kernel=kernel, images=1)
    padding = kernel // 2
    convolved, normalized = forward(Calls(emu), x, weight, norm, excite)
    limits = {
        "eval": (4, lambda: Calls(emu).infer(x, weight, 1, padding, None, norm, excite)),
        "forward": (5, lambda: forward(Calls(emu), x, weight, norm, excite)),
        "backward": (8, lambda: backward(Calls(emu), x, weight, norm, excite, convolved.y, normalized)),
    }
    for name, (most, run) in limits.items():
        traffic = Traffic(emu, x, run)
        record_property(name, round(traffic.passes, 3))
        print(name, size, kernel, dtype, round(traffic.passes, 3), round(traffic.efficiency, 3))
        assert traffic.passes <= most * 1.1
        assert traffic.efficiency >= 0.9
