"""One training of a network that is named by its reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from narsfast.arch import create_model, set_ops
from narsfast.data import Dataset
from narsfast.space import Recipe

from ._settings import TrainerSettings
from ._train import Training, TrainingOptions, train_network

if TYPE_CHECKING:
    from typing_extensions import Unpack


def train_model(
    reference: str,
    resolution: int,
    recipe: Recipe,
    data: Dataset,
    epochs: int,
    seed: int,
    **options: Unpack[TrainingOptions],
) -> Training:
    """`train_network` for the network of a reference (`narsfast.arch.create_model`) at a resolution in pixels.

    Raises:
        UserError: there is no such network, or the recipe has a drop path that it cannot take.
    """
    ops = (options.get("settings") or TrainerSettings()).ops

    def build() -> nn.Module:
        network = create_model(reference, len(data.classes), data.in_chans, recipe.dropout, recipe.drop_path)
        set_ops(network, ops)
        return network

    return train_network(build, resolution, recipe, data, epochs=epochs, seed=seed, **options)
