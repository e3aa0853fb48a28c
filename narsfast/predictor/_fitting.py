"""Fitting the accuracy head, and the encoder below it, to labels.

The loss (Huber's, and the logistic loss of each pair's order), the two phases (the encoder frozen, then everything at
a lower rate) and all numbers are our defaults. They are of labels standardized by `_targets`, so that the
labels' unit does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import huber_loss, softplus

from ._descent import Schedule, batch_order, minimize
from ._inputs import Inputs
from ._network import Layer, apply_layers, copy_layers, new_layers
from ._targets import center_and_scale, compress

SWITCH_POINT = 0.2
"""Standardized error at which the Huber loss turns from square to linear."""
ORDER_WEIGHT = 1.0
"""Weight of the loss of pairs in the wrong order, beside the Huber loss."""
ORDER_SLOPE = 3.0
"""Slope of the logistic loss of a pair, by standardized difference."""

FROZEN = Schedule(steps=200, batch=32, rate=3e-3, weight_decay=1.5, average=0.5)
WHOLE = Schedule(steps=400, batch=32, rate=1e-3, weight_decay=1.5, average=0.5)
STEPS_A_LABEL = 1.5
MOST_STEPS = 800
"""Steps of the second phase: those of `WHOLE`, and with many labels more, up to these."""
LAST_LAYER = 0.3
"""Factor on the initial weights of the head's last layer: members start near the median label."""


@dataclass(frozen=True)
class Fitted:
    """Weights after a fit, M members.

    Attributes:
        encoder: layers, empty without an encoder.
        head: layers.
        center: (M,) float32 percent, the median of the member's labels.
        scale: (M,) float32 percent, the spread of these labels.
    """

    encoder: list[Layer]
    head: list[Layer]
    center: Tensor
    scale: Tensor

    def outputs(self, inputs: Inputs) -> Tensor:
        """Standardized and compressed accuracy by each member, (M, n)."""
        embedding = apply_layers(self.encoder, inputs.architecture, relu_last=True) if self.encoder else None
        return apply_layers(self.head, _joined(embedding, inputs.beside), relu_last=False)[..., 0]


def fit_members(
    encoder: Sequence[Layer],
    head_widths: Sequence[int],
    inputs: Inputs,
    labels: Tensor,
    rows: Sequence[Tensor],
    generator: torch.Generator,
) -> Fitted:
    """Fit all members at once, those of several folds too: each member has rows of its own.

    Args:
        encoder: pretrained layers of M members, left as they are. More rows than members repeat the members.
        head_widths: hidden widths of the accuracy head.
        inputs: of n candidates.
        labels: (n,) float32 percent.
        rows: for each of the k * M members to fit, the rows of its labels, (n_m,) int64.
        generator: of initial weights and of the order of samples.
    """
    members = len(rows)
    trained = copy_layers(encoder, members // encoder[0][0].shape[0]) if encoder else []
    embedding_width = trained[-1][1].shape[1] if trained else 0
    beside = inputs.beside
    head = new_layers([embedding_width + beside.shape[1], *head_widths, 1], members, generator)
    head[-1][0].mul_(LAST_LAYER)
    center, scale = (
        torch.stack(part) for part in zip(*(center_and_scale(labels[r]) for r in rows), strict=True)
    )
    targets = compress((labels - center[:, None]) / scale[:, None])
    each = torch.arange(members)[:, None]

    def loss(embedding: Tensor | None, picked: Tensor) -> Tensor:
        output = apply_layers(head, _joined(embedding, beside[picked]), relu_last=False)[..., 0]
        wanted = targets[each, picked]
        return members * (
            huber_loss(output, wanted, delta=SWITCH_POINT) + ORDER_WEIGHT * _order_loss(output, wanted)
        )

    frozen = apply_layers(trained, inputs.architecture, relu_last=True) if trained else None
    order = batch_order(rows, FROZEN, generator)
    minimize(head, lambda s: loss(None if frozen is None else frozen[each, order[s]], order[s]), FROZEN)

    fewest = min(len(mine) for mine in rows)
    whole = replace(WHOLE, steps=max(WHOLE.steps, min(int(STEPS_A_LABEL * fewest), MOST_STEPS)))
    whole_order = batch_order(rows, whole, generator)

    def whole_loss(step: int) -> Tensor:
        picked = whole_order[step]
        if not trained:
            return loss(None, picked)
        return loss(apply_layers(trained, inputs.architecture[picked], relu_last=True), picked)

    minimize([*trained, *head], whole_loss, whole)
    return Fitted(trained, head, center, scale)


def _order_loss(output: Tensor, wanted: Tensor) -> Tensor:
    """Mean over members and ordered pairs, equal labels apart, of log(1 + exp(-slope * difference))."""
    sign = (wanted[:, :, None] - wanted[:, None, :]).sign()
    difference = output[:, :, None] - output[:, None, :]
    return (softplus(-ORDER_SLOPE * sign * difference) * sign.abs()).mean()


def _joined(embedding: Tensor | None, beside: Tensor) -> Tensor:
    """The head's input: embedding (M, n, E) and what stands beside it, (n, D) shared or (M, n, D)."""
    if embedding is None:
        return beside
    return torch.cat([embedding, beside.expand(len(embedding), -1, -1)], dim=-1)
