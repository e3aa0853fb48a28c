"""An ensemble of multilayer perceptrons of one shape as one batched model.

The first axis of every matrix is the ensemble member. Members are independent; one batched product computes them all, so
that four cost little more than one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

Layer = tuple[Tensor, Tensor]
"""Weight (M, in, out) and bias (M, out), float32."""


def new_layers(widths: Sequence[int], members: int, generator: torch.Generator) -> list[Layer]:
    """Draw layers of these `widths`, input first, independently per member: He-normal weights, zero biases."""
    return [
        (
            torch.randn(members, fan_in, fan_out, generator=generator) * (2.0 / max(fan_in, 1)) ** 0.5,
            torch.zeros(members, fan_out),
        )
        for fan_in, fan_out in pairwise(widths)
    ]


def copy_layers(layers: Sequence[Layer], times: int = 1) -> list[Layer]:
    """Copy layers, repeating all members `times` times (members 0..M-1, then again 0..M-1)."""
    return [(weight.repeat(times, 1, 1), bias.repeat(times, 1)) for weight, bias in layers]


def apply_layers(layers: Sequence[Layer], inputs: Tensor, relu_last: bool) -> Tensor:
    """Apply the batched perceptron.

    Args:
        layers: Weights and biases, at least one.
        inputs: (M, n, in), or (n, in) shared by all members.
        relu_last: Whether a ReLU also follows the last layer, as in the encoder.

    Returns:
        (M, n, out).
    """
    hidden = inputs
    for number, (weight, bias) in enumerate(layers):
        hidden = torch.matmul(hidden, weight) + bias[:, None]
        if relu_last or number + 1 < len(layers):
            hidden = torch.relu(hidden)
    return hidden
