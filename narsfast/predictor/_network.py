"""Several multilayer perceptrons of one shape, held as one batched model.

Members never meet: every matrix carries the member as its first axis and one batched product does them all, so
four members cost little more than one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

Layer = tuple[Tensor, Tensor]
"""Weight (M, in, out) and bias (M, out), float32."""


def new_layers(widths: Sequence[int], members: int, generator: torch.Generator) -> list[Layer]:
    """Layers from `widths` (input first), each member drawn apart: He-normal weights, zero biases."""
    return [
        (
            torch.randn(members, fan_in, fan_out, generator=generator) * (2.0 / max(fan_in, 1)) ** 0.5,
            torch.zeros(members, fan_out),
        )
        for fan_in, fan_out in pairwise(widths)
    ]


def copy_layers(layers: Sequence[Layer], times: int = 1) -> list[Layer]:
    """Layers of their own memory, all members repeated `times` (members 0..M-1, then again 0..M-1)."""
    return [(weight.repeat(times, 1, 1), bias.repeat(times, 1)) for weight, bias in layers]


def apply_layers(layers: Sequence[Layer], inputs: Tensor, relu_last: bool) -> Tensor:
    """Run the batched perceptron.

    Args:
        layers: weights and biases, at least one.
        inputs: (M, n, in), or (n, in) shared by all members.
        relu_last: whether a ReLU follows the last layer too (it does in the encoder, not in a head).

    Returns:
        (M, n, out).
    """
    hidden = inputs
    for number, (weight, bias) in enumerate(layers):
        hidden = torch.matmul(hidden, weight) + bias[:, None]
        if relu_last or number + 1 < len(layers):
            hidden = torch.relu(hidden)
    return hidden
