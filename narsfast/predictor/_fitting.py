"""Fitting the accuracy head, and the encoder below it, to labels.

The Huber loss, its switch point, the two phases (the encoder frozen, then everything at a lower rate) and all numbers
are our defaults.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import huber_loss

from ._descent import Schedule, batch_order, minimise
from ._inputs import Inputs
from ._network import Layer, apply_layers, copy_layers, new_layers

SWITCH_POINT = 1.0
"""Percent of accuracy at which the Huber loss turns from square to linear."""

FROZEN = Schedule(steps=200, batch=32, rate=3e-3, weight_decay=1.0, average=0.5)
WHOLE = Schedule(steps=400, batch=32, rate=1e-3, weight_decay=1.0, average=0.5)
LAST_LAYER = 0.3
"""Factor on the initial weights of the head's last layer: members start near the median label."""
SMALLEST_SCALE = 1e-6


@dataclass(frozen=True)
class Fitted:
    """Weights after a fit, M members.

    Attributes:
        encoder: layers, empty without an encoder.
        head: layers.
        mean: (M,) float32 percent, centre of the output: the median of the member's labels.
        scale: (M,) float32 percent, scale of the output: the spread of these labels.
    """

    encoder: list[Layer]
    head: list[Layer]
    mean: Tensor
    scale: Tensor

    def predict(self, inputs: Inputs) -> Tensor:
        """Percent by each member, (M, n)."""
        embedding = apply_layers(self.encoder, inputs.architecture, relu_last=True) if self.encoder else None
        output = apply_layers(self.head, _joined(embedding, inputs.beside), relu_last=False)
        return self.mean[:, None] + self.scale[:, None] * output[..., 0]


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
    mean = torch.stack([labels[mine].median() for mine in rows])
    scale = torch.stack([_spread(labels[mine]) for mine in rows])
    each = torch.arange(members)[:, None]

    def loss(embedding: Tensor | None, picked: Tensor) -> Tensor:
        output = apply_layers(head, _joined(embedding, beside[picked]), relu_last=False)[..., 0]
        predicted = mean[:, None] + scale[:, None] * output
        return members * huber_loss(predicted, labels[picked], delta=SWITCH_POINT)

    frozen = apply_layers(trained, inputs.architecture, relu_last=True) if trained else None
    order = batch_order(rows, FROZEN, generator)
    minimise(head, lambda s: loss(None if frozen is None else frozen[each, order[s]], order[s]), FROZEN)

    whole_order = batch_order(rows, WHOLE, generator)

    def whole_loss(step: int) -> Tensor:
        picked = whole_order[step]
        if not trained:
            return loss(None, picked)
        return loss(apply_layers(trained, inputs.architecture[picked], relu_last=True), picked)

    minimise([*trained, *head], whole_loss, WHOLE)
    return Fitted(trained, head, mean, scale)


def _spread(labels: Tensor) -> Tensor:
    """Scale of the output: half the span of the middle 68 %, which a few trials at chance do not widen.

    The standard deviation where that span is empty, and 1 where all labels are equal.
    """
    low, high = torch.quantile(labels, torch.tensor([0.16, 0.84]))
    for spread in ((high - low) / 2, labels.std(correction=0)):
        if spread > SMALLEST_SCALE:
            return spread
    return torch.tensor(1.0)


def _joined(embedding: Tensor | None, beside: Tensor) -> Tensor:
    """The head's input: embedding (M, n, E) and what stands beside it, (n, D) shared or (M, n, D)."""
    if embedding is None:
        return beside
    return torch.cat([embedding, beside.expand(len(embedding), -1, -1)], dim=-1)
