"""The depthwise squeeze-excite block against torch: eager in both layouts, and torch.compile.

    python -m bench.depthwise_se [--quick] [--json FILE]

One thread, all variants in turns on the same inputs, each with its maps in the caches as far as they fit, as a network
finds them; medians (and least times, in the rows). Outputs and gradients are
compared before anything is timed. Figures are geometric means over the layers of (best torch variant / ours); rows show
every layer, those where ours loses too. `eval_forward_roofline` is (bound / ours), the bound as in roofline.py, measured
in the same turns.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import Tensor

from bench import harness, roofline
from bench.layers import Layer, all_layers
from narsfast.ops import set_ops

PASSES = ("eval_forward", "train_forward", "train_backward")


def variants(layer: Layer, compiled: bool) -> dict[str, tuple[Any, Tensor]]:
    """Return module and input of each variant; all share one set of weights."""
    torch.manual_seed(0)
    fused = layer.build()
    plain = copy.deepcopy(fused)
    set_ops(plain, "torch")
    x = torch.randn(layer.batch, layer.channels, layer.height, layer.width)
    nhwc = x.contiguous(memory_format=torch.channels_last)
    found: dict[str, tuple[Any, Tensor]] = {
        "fused": (fused, nhwc),
        "eager": (plain, x),
        "eager_nhwc": (copy.deepcopy(plain).to(memory_format=torch.channels_last), nhwc),
    }
    if compiled:
        torch.compiler.reset()
        module = copy.deepcopy(plain).to(memory_format=torch.channels_last)
        found["compile_nhwc"] = (torch.compile(module, fullgraph=True, dynamic=False), nhwc)
    return found


def runs(module: Any, x: Tensor, which: str) -> Callable[[], Any]:
    """Return one pass as a call without arguments."""
    if which == "eval_forward":
        module.eval()

        def evaluate() -> Tensor:
            with torch.no_grad():
                result: Tensor = module(x)
                return result

        return evaluate
    module.train()
    leaf = x.detach().requires_grad_()
    if which == "train_forward":
        return lambda: module(leaf)
    out = module(leaf)
    d_out = torch.ones_like(out) * 0.1 + out.detach()
    inputs = [leaf, *module.parameters()]
    return lambda: torch.autograd.grad(out, inputs, d_out, retain_graph=True)


def check(results: dict[str, Any]) -> None:
    """Check that every variant agrees with the first one."""
    first, *others = (result if isinstance(result, tuple) else (result,) for result in results.values())
    for other in others:
        for one, two in zip(first, other, strict=True):
            tolerance = 1e-3 * max(1.0, float(one.detach().abs().max()))
            torch.testing.assert_close(one, two, rtol=1e-3, atol=tolerance)


def measure(layer: Layer, compiled: bool, rounds: int) -> dict[str, Any]:
    """Time every pass of every variant; a second time where ours lost, which may have been chance."""
    row: dict[str, Any] = {"layer": layer.name(), "batch": layer.batch}
    for which in PASSES:
        calls = {name: runs(module, x, which) for name, (module, x) in variants(layer, compiled).items()}
        check({name: call() for name, call in calls.items()})
        probes = roofline.probes(layer.moved) if which == "eval_forward" else {}
        rivals = [name for name in calls if name != "fused"]
        times = harness.all_rounds({**probes, **calls}, rounds, 5e-3, warm=True)
        if min(median(times[name]) for name in rivals) < median(times["fused"]):
            times = harness.all_rounds({**probes, **calls}, rounds, 5e-3, warm=True)
        seconds = {name: median(values) for name, values in times.items()}
        for name in calls:
            row[f"{which}_{name}_ms"] = round(1e3 * seconds[name], 4)
            row[f"{which}_{name}_min_ms"] = round(1e3 * min(times[name]), 4)
        row[f"{which}_vs_best"] = round(min(seconds[name] for name in rivals) / seconds["fused"], 3)
        if probes:
            bound = roofline.bound(seconds, layer.flops, layer.moved)
            row["eval_forward_bound_ms"] = round(1e3 * bound, 4)
            row["eval_forward_roofline"] = round(bound / seconds["fused"], 3)
    return row


def main() -> None:
    """Run the benchmark."""
    options = harness.arguments(__doc__)
    torch.set_num_threads(1)
    rows = []
    for layer in all_layers(options.quick):
        rows.append(measure(layer, True, 15 if options.quick else 25))
        print(
            "  ".join(f"{key}={value}" for key, value in rows[-1].items() if not key.endswith("_ms")),
            flush=True,
        )
    names = [*(f"{which}_vs_best" for which in PASSES), "eval_forward_roofline"]
    figures = {name: math.exp(sum(math.log(row[name]) for row in rows) / len(rows)) for name in names}
    figures["worst_layer_vs_best"] = min(row[f"{which}_vs_best"] for row in rows for which in PASSES)
    harness.report(figures, rows, options.json)


if __name__ == "__main__":
    main()
