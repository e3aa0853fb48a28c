"""A whole training step of FBNetV3-B, fused against torch: images a second, and memory.

    python -m bench.train_step [--quick] [--json FILE]

RMSProp, cross-entropy, ten classes, padding `half`, channels_last, one thread; steps of the variants take turns. Without
--quick torch.compile is among them. Memory is the rise of the peak resident size over the built model in three steps,
each variant in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

import narsfast
from bench import harness

SETTINGS = {64: 32, 128: 16}
"""Resolution to batch."""


def step_of(ops: str, resolution: int, compiled: bool = False) -> Callable[[], float]:
    """Return one training step as a call that returns the loss before it."""
    torch.manual_seed(0)
    network = narsfast.create_model("b", num_classes=10, padding="half", ops=ops).to(
        memory_format=torch.channels_last
    )
    network.train()
    optimizer = torch.optim.RMSprop(network.parameters(), 1e-4)
    batch = SETTINGS[resolution]
    images = torch.randn(batch, 3, resolution, resolution).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (batch,))
    forward: Any = torch.compile(network, dynamic=False) if compiled else network

    def step() -> float:
        optimizer.zero_grad()
        loss = functional.cross_entropy(forward(images), labels)
        torch.autograd.backward(loss)
        optimizer.step()
        return float(loss.detach())

    return step


def memory_of(ops: str) -> int:
    """Return the rise of the peak in a fresh process, KiB."""
    code = f"from bench.train_step import memory_here; memory_here({ops!r})"
    done = harness.run_python(code, stdout=subprocess.PIPE)
    return int(json.loads(done.stdout.splitlines()[-1]))


def memory_here(ops: str) -> None:
    """Print the rise of this process's peak by three steps."""
    torch.set_num_threads(1)
    step = step_of(ops, 128)
    before = harness.peak_memory()
    for _ in range(3):
        step()
    print(harness.peak_memory() - before)


def main() -> None:
    """Run the benchmark."""
    options = harness.arguments(__doc__)
    torch.set_num_threads(1)
    figures: dict[str, float] = {}
    rows = []
    for resolution, batch in SETTINGS.items():
        steps = {"fused": step_of("fused", resolution), "eager": step_of("torch", resolution)}
        if not options.quick:
            steps["compile"] = step_of("torch", resolution, compiled=True)
        losses = {name: [step() for _ in range(3)] for name, step in steps.items()}
        for name, values in losses.items():
            gap = max(abs(a - b) for a, b in zip(values, losses["eager"], strict=True))
            if gap > 1e-3:
                raise SystemExit(f"{name} does not train as eager does: losses differ by {gap:.2g}")
        times = harness.take_turns(steps, 7 if options.quick else 15)
        best = min(seconds for name, seconds in times.items() if name != "fused")
        suffix = "vs_eager" if options.quick else "vs_best"
        figures[f"train_step_{resolution}_{suffix}"] = best / times["fused"]
        for name, seconds in times.items():
            rows.append(
                {
                    "resolution": resolution,
                    "batch": batch,
                    "variant": name,
                    "images_per_second": batch / seconds,
                }
            )
    memory = {ops: memory_of(ops) for ops in ("fused", "torch")}
    figures["peak_memory_vs_eager"] = memory["fused"] / memory["torch"]
    rows += [{"variant": ops, "peak_memory_rise_mib": value / 1024} for ops, value in memory.items()]
    harness.report(figures, rows, options.json)


if __name__ == "__main__":
    main()
