"""How much faster is a step of RMSProp with the average of the weights than torch's?

    python -m bench.optimizer [--quick] [--json FILE]

All parameters of FBNetV3-B (8.6 million in some hundred tensors), weight decay on those of two and more dimensions,
momentum, and an exponential moving average; one thread, all in turns, medians. Beside torch's `RMSprop` (multi-tensor,
and one tensor after the other) with the update of `AveragedModel`; torch's formula puts epsilon outside the root, which
costs the same, and the figure is against the faster one. A compiled step of torch has a row and a figure of its own,
with the seconds that it takes to compile (fewer where torch's cache has it; left out by --quick). Ours is timed on the
network's own tensors and on the flat vectors that the trainer makes of them, there also with torch's operators. Our
compiled step is compared with the one by torch's operators first.

What is to be expected: the compiled step reads weight, gradient, two states and the average and writes all but the
gradient, 9 floats or 36 bytes an element. torch's operators move 24 floats in ten passes, and two temporaries on top: at
one bandwidth the ratio is 2.7. All of it exceeds the caches, so every step starts cold. The share of a copy's bandwidth
may pass 1, since a copy reads, uncounted, what it overwrites.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from torch import Tensor, nn
from torch.optim import swa_utils

from bench import harness, roofline
from narsfast.arch import create
from narsfast.training import FlatWeights, MovingAverage, OptimBackend, RMSpropTF

NETWORK = "fbnetv3_b"
SETTINGS = {"lr": 1e-3, "alpha": 0.9, "eps": 1e-3, "momentum": 0.9}
DECAY = 1e-5
KEPT = 0.99985
"""Share of the average that a step keeps."""
BYTES = 36
"""Read or written per element."""
OURS = "narsfast, native"
COMPILED = "torch compile"
RIVALS = {"torch foreach": True, "torch loop": False}


def network(seed: int = 0) -> nn.Module:
    """Build the network with a gradient at every parameter."""
    torch.manual_seed(seed)
    made = create(NETWORK)
    for parameter in made.parameters():
        parameter.grad = 1e-2 * torch.randn_like(parameter)
    return made


def groups(parameters: list[Tensor]) -> list[dict[str, object]]:
    """Split parameters into those with weight decay and those without."""
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": DECAY},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


Ours = tuple[RMSpropTF, MovingAverage]


def ours(backend: OptimBackend) -> Ours:
    """Return our optimizer and average on the network's own tensors."""
    made = network()
    buffers = [buffer for buffer in made.buffers() if buffer.is_floating_point()]
    average = MovingAverage([*made.parameters(), *buffers], KEPT)
    parts = groups(list(made.parameters()))
    return RMSpropTF(parts, **SETTINGS, average=average, backend=backend), average


def ours_flat(backend: OptimBackend) -> Ours:
    """Return our optimizer and average on flat vectors, as the trainer makes them."""
    made = network()
    gradients = [parameter.grad for parameter in made.parameters()]
    flat = FlatWeights(made)
    for parameter, gradient in zip(made.parameters(), gradients, strict=True):
        parameter.grad.copy_(gradient)
    average = MovingAverage(flat.vectors(), KEPT)
    parts = [{"params": flat.decayed, "weight_decay": DECAY}, {"params": flat.plain, "weight_decay": 0.0}]
    return RMSpropTF(parts, **SETTINGS, average=average, backend=backend), average


def rival(made: nn.Module, foreach: bool) -> Callable[[], object]:
    """Return a step of torch's optimizer with the update of its `AveragedModel`."""
    optimizer = torch.optim.RMSprop(groups(list(made.parameters())), **SETTINGS, foreach=foreach)
    average = swa_utils.AveragedModel(made, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(KEPT))

    def step() -> None:
        optimizer.step()
        average.update_parameters(made)

    return step


def compiled(made: nn.Module) -> Callable[[], object]:
    """Return torch.compile of the multi-tensor step with the average of the parameters."""
    parameters = list(made.parameters())
    optimizer = torch.optim.RMSprop(groups(parameters), **SETTINGS, foreach=True)
    averages = [parameter.detach().clone() for parameter in parameters]

    @torch.compile
    def step() -> None:
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(averages, parameters, 1 - KEPT)

    return step


def check(steps: int = 3) -> None:
    """Compare the compiled step with torch's operators, on separate tensors and on flat ones.

    Raises:
        AssertionError: A weight differs.
    """
    for make in (ours, ours_flat):
        found = []
        for backend in ("torch", "native"):
            optimizer, average = make(backend)
            for _ in range(steps):
                optimizer.step()
            found.append([tensor for pair in average.pairs for tensor in pair])
        for expected, got in zip(*found, strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-7)


def all_calls() -> dict[str, Callable[[], object]]:
    """Return the steps by name, all but the compiled one of torch."""
    return {
        OURS: ours("native")[0].step,
        "narsfast, native, flat vectors": ours_flat("native")[0].step,
        "narsfast, torch, flat vectors": ours_flat("torch")[0].step,
        **{name: rival(network(), foreach) for name, foreach in RIVALS.items()},
    }


def main() -> None:
    """Run the benchmark."""
    options = harness.arguments(__doc__)
    torch.set_num_threads(1)
    check()
    calls, compiling = all_calls(), {}
    if not options.quick:
        calls[COMPILED] = compiled(network())
        start = time.perf_counter()
        for _ in range(3):  # states are made in the first
            calls[COMPILED]()
        compiling[COMPILED] = {"compile_seconds": round(time.perf_counter() - start, 1)}
    elements = sum(parameter.numel() for parameter in network().parameters())
    moved = BYTES * elements
    seconds = harness.take_turns({**calls, **roofline.probes(moved)}, 5 if options.quick else 25)
    bound = roofline.bound(seconds, 0, moved)
    rows = [
        {
            "what": name,
            "milliseconds": float(f"{1e3 * value:.4g}"),
            "share_of_copy": float(f"{bound / value:.3g}"),
            **compiling.get(name, {}),
        }
        for name, value in seconds.items()
        if name in calls
    ]
    for row in rows:
        print(f"{row['what']:36}{row['milliseconds']:>10.2f} ms   share of a copy {row['share_of_copy']:.2f}")
    rivals = [*RIVALS, *compiling]
    figures = {
        "rmsprop_ema_vs_torch": min(seconds[name] for name in RIVALS) / seconds[OURS],
        **{f"rmsprop_ema_vs_{name.replace(' ', '_')}": seconds[name] / seconds[OURS] for name in rivals},
    }
    harness.report(figures, rows, options.json)


if __name__ == "__main__":
    main()
