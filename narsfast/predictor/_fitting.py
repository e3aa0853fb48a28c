"""Fitting of the accuracy head and the encoder to labels.

The loss (Huber loss plus a logistic ranking loss over pairs), the two phases (the encoder frozen, then all layers at a
lower rate) and all values are this project's choice. Labels are standardized by `_targets`, so that their unit does not
matter.
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

HUBER_DELTA = 0.2
"""Standardized error at which the Huber loss changes from quadratic to linear."""
RANKING_WEIGHT = 1.0
"""Weight of the ranking loss relative to the Huber loss."""
RANKING_SLOPE = 3.0
"""Slope of the ranking loss in the standardized difference of a pair."""

FROZEN = Schedule(steps=200, batch=32, rate=3e-3, weight_decay=1.5, average=0.5)
UNFROZEN = Schedule(steps=400, batch=32, rate=1e-3, weight_decay=1.5, average=0.5)
STEPS_PER_LABEL = 1.5
MAX_STEPS = 800
"""The second phase has the steps of `UNFROZEN`, or more with many labels: `STEPS_PER_LABEL`, up to `MAX_STEPS`."""
LAST_LAYER_GAIN = 0.3
"""Factor on the initial weights of the head's last layer, so that predictions start near the median label."""


@dataclass(frozen=True)
class Fitted:
    """The weights of M ensemble members after a fit.

    Attributes:
        encoder: Layers of the encoder, possibly none.
        head: Layers of the accuracy head.
        center: (M,) float32 percent, the median of each member's labels.
        scale: (M,) float32 percent, the spread of each member's labels.
    """

    encoder: list[Layer]
    head: list[Layer]
    center: Tensor
    scale: Tensor

    def outputs(self, inputs: Inputs) -> Tensor:
        """Return each member's standardized and compressed accuracies, (M, n)."""
        embedding = apply_layers(self.encoder, inputs.architecture, relu_last=True) if self.encoder else None
        return apply_layers(self.head, _head_inputs(embedding, inputs.direct), relu_last=False)[..., 0]


def fit_members(
    encoder: Sequence[Layer],
    head_widths: Sequence[int],
    inputs: Inputs,
    labels: Tensor,
    rows: Sequence[Tensor],
    generator: torch.Generator,
) -> Fitted:
    """Fit all ensemble members at once, also those of several folds, each on rows of its own.

    Args:
        encoder: Pretrained layers of M members, which are not changed. For k folds they are repeated k times.
        head_widths: Hidden widths of the accuracy head.
        inputs: Inputs of n candidates.
        labels: (n,) float32 percent.
        rows: Rows of the labels of each of the k * M members, (n_m,) int64.
        generator: Generator of initial weights and of the order of samples.
    """
    members = len(rows)
    trained = copy_layers(encoder, members // encoder[0][0].shape[0]) if encoder else []
    embedding_width = trained[-1][1].shape[1] if trained else 0
    direct = inputs.direct
    head = new_layers([embedding_width + direct.shape[1], *head_widths, 1], members, generator)
    head[-1][0].mul_(LAST_LAYER_GAIN)
    center, scale = (
        torch.stack(part) for part in zip(*(center_and_scale(labels[r]) for r in rows), strict=True)
    )
    targets = compress((labels - center[:, None]) / scale[:, None])
    each = torch.arange(members)[:, None]

    def loss(embedding: Tensor | None, picked: Tensor) -> Tensor:
        output = apply_layers(head, _head_inputs(embedding, direct[picked]), relu_last=False)[..., 0]
        target = targets[each, picked]
        return members * (
            huber_loss(output, target, delta=HUBER_DELTA) + RANKING_WEIGHT * _ranking_loss(output, target)
        )

    frozen = apply_layers(trained, inputs.architecture, relu_last=True) if trained else None
    order = batch_order(rows, FROZEN, generator)
    minimize(head, lambda s: loss(None if frozen is None else frozen[each, order[s]], order[s]), FROZEN)

    fewest = min(len(own) for own in rows)
    unfrozen = replace(UNFROZEN, steps=max(UNFROZEN.steps, min(int(STEPS_PER_LABEL * fewest), MAX_STEPS)))
    unfrozen_order = batch_order(rows, unfrozen, generator)

    def unfrozen_loss(step: int) -> Tensor:
        picked = unfrozen_order[step]
        if not trained:
            return loss(None, picked)
        return loss(apply_layers(trained, inputs.architecture[picked], relu_last=True), picked)

    minimize([*trained, *head], unfrozen_loss, unfrozen)
    return Fitted(trained, head, center, scale)


def _ranking_loss(output: Tensor, target: Tensor) -> Tensor:
    """Average log(1 + exp(-slope * difference)) over members and pairs; pairs of equal labels count as 0."""
    sign = (target[:, :, None] - target[:, None, :]).sign()
    difference = output[:, :, None] - output[:, None, :]
    return (softplus(-RANKING_SLOPE * sign * difference) * sign.abs()).mean()


def _head_inputs(embedding: Tensor | None, direct: Tensor) -> Tensor:
    """Concatenate the embedding (M, n, E) and the direct inputs, (n, D) shared by all members or (M, n, D)."""
    if embedding is None:
        return direct
    return torch.cat([embedding, direct.expand(len(embedding), -1, -1)], dim=-1)
