"""Parts of a network that a fine-tuning trains apart: other learning rates by depth, and frozen layers."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from narsfast.space import Recipe

from ._layers import layer_numbers
from ._weights import FlatWeights, Part

_ROUNDING = 1e-9  # tolerance of a product with a share: 0.7 * 30 is a little below 21


def recipe_parts(network: nn.Module, recipe: Recipe) -> dict[str, Part]:
    """Return the part of each parameter under a recipe, by name; empty where all are trained alike.

    Of layers 0 to n (`layer_numbers`), where n is the classifier, layer k < n has the rate ``layer_decay ** (n - k)``,
    as in the code of BEiT and timm, and the classifier has `head_factor`. Frozen is the share `frozen` of the layers
    below the classifier, rounded down, from layer 0 on.
    """
    if recipe.layer_decay == 1 and recipe.head_factor == 1 and recipe.frozen == 0:
        return {}
    numbers = layer_numbers(network)
    last, first_trained = max(numbers.values()), _first_trained(numbers, recipe)
    parts = {}
    for name, _ in network.named_parameters():
        number = numbers[name.rpartition(".")[0]]
        rate = recipe.head_factor if number == last else recipe.layer_decay ** (last - number)
        parts[name] = Part(rate, number < first_trained)
    return parts


class Freezing:
    """The frozen part of a network, from the first step until the recipe's share of the schedule is over.

    Frozen parameters are outside of the backward pass and of the optimizer's steps, so that neither momentum nor weight
    decay moves them. With `keep_statistics`, their batch norms normalize by the running statistics that they had, as in
    evaluation.

    Args:
        network: Its weights are already in `weights`.
        recipe: What is frozen, and until when.
        weights: Of the network.
        steps: Of the whole schedule.
    """

    def __init__(self, network: nn.Module, recipe: Recipe, weights: FlatWeights, steps: int) -> None:
        self._weights = weights
        self._until = math.ceil(recipe.frozen_until * steps - _ROUNDING)
        self._is_frozen = recipe.frozen > 0
        self._norms = _frozen_norms(network, recipe) if self._is_frozen and recipe.keep_statistics else []
        if self._is_frozen:
            weights.freeze()

    def set_modes(self) -> None:
        """Put the frozen norms into evaluation mode; called after the network was put into training mode."""
        if self._is_frozen:
            for norm in self._norms:
                norm.eval()

    def at(self, step: int) -> None:
        """Train everything from its step on."""
        if step >= self._until:
            self.end()

    def end(self) -> None:
        """Train everything."""
        if not self._is_frozen:
            return
        self._is_frozen = False
        self._weights.thaw()
        for norm in self._norms:
            norm.train()


def _frozen_norms(network: nn.Module, recipe: Recipe) -> list[nn.Module]:
    numbers = layer_numbers(network)
    first_trained = _first_trained(numbers, recipe)
    return [
        module
        for name, module in network.named_modules()
        if isinstance(module, _BatchNorm) and numbers[name] < first_trained
    ]


def _first_trained(numbers: Mapping[str, int], recipe: Recipe) -> int:
    """Return the number of the first layer that is never frozen."""
    return math.floor(recipe.frozen * max(numbers.values()) + _ROUNDING)
