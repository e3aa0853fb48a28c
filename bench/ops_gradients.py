"""How near are the gradients of a step to float64's, by the fused kernels and by torch's modules?

    python -m bench.ops_gradients [--quick] [--json FILE] [--data DIR]

The candidate and the photos of `bench.ops_accuracy`, trained by the fused kernels with SGD. At every fifth step the
gradient of the batch is computed in float32 by both kinds of ops and in float64 by torch's modules, from the same
weights. Figures: the error of the whole gradient, relative to its norm: its median over these steps in millionths, and
the percentage of the steps where it is above 1e-4.
"""

from __future__ import annotations

import os
import statistics
from itertools import count, islice

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench import harness
from bench.ops_accuracy import OPS, RESOLUTION, candidate
from narsfast.arch import create
from narsfast.data import Dataset, open_loader, shared_data

EVERY = 5
LARGE = 1e-4
BATCH = 32
RATE = 0.02
SMOOTHING = 0.1


def gradient(network: nn.Module, ops: str, dtype: torch.dtype, images: Tensor, labels: Tensor) -> Tensor:
    """(parameters,) float64, of a copy: the network's own gradients and buffers stay."""
    copy = create(candidate(), num_classes=network.head.classifier.out_features, ops=ops)
    copy.load_state_dict(network.state_dict())
    copy.to(dtype).train()
    loss = functional.cross_entropy(copy(images.to(dtype)), labels, label_smoothing=SMOOTHING)
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(copy.parameters()))]).double()


def errors(data: Dataset, steps: int) -> list[dict[str, float]]:
    """A row for every fifth step: how far each kind of ops is from float64."""
    torch.manual_seed(0)
    network = create(candidate(), num_classes=len(data.classes), ops="fused").train()
    optimizer = torch.optim.SGD(network.parameters(), RATE, momentum=0.9)
    loader = open_loader("torchvision", embedded=False, threads=1)
    batches = (
        batch
        for epoch in count()
        for batch in loader.batches(data.train, RESOLUTION, BATCH, seed=0, epoch=epoch, training=True)
    )
    rows = []
    for step, (images, labels) in enumerate(islice(batches, steps)):
        if step % EVERY == 0:
            exact = gradient(network, "torch", torch.float64, images, labels)
            found = {ops: gradient(network, ops, torch.float32, images, labels) for ops in OPS}
            rows.append(
                {
                    "step": step,
                    **{ops: float((mine - exact).norm() / exact.norm()) for ops, mine in found.items()},
                }
            )
        optimizer.zero_grad()
        functional.cross_entropy(network(images), labels, label_smoothing=SMOOTHING).backward()
        optimizer.step()
    return rows


def main() -> None:
    options = harness.arguments(__doc__, data=True)
    torch.set_num_threads(1)
    with harness.photos(options.data) as folder:
        rows = errors(shared_data(str(folder), RESOLUTION), 20 if options.quick else 500)
    figures = {}
    for ops in OPS:
        mine = [row[ops] for row in rows]
        figures[f"{ops}_median_error_millionths"] = 1e6 * statistics.median(mine)
        figures[f"{ops}_large_error_percent"] = 100 * statistics.mean(error > LARGE for error in mine)
    harness.report(figures, rows, options.json)


if __name__ == "__main__":
    main()
