"""One training of a network that is named by its reference."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from narsfast.arch import create_model, set_ops
from narsfast.data import Dataset
from narsfast.space import Recipe

from ._distil import Teacher
from ._loop import Report
from ._settings import TrainerSettings
from ._train import Training, train_network


def train_model(
    reference: str,
    resolution: int,
    recipe: Recipe,
    data: Dataset,
    epochs: int,
    seed: int,
    *,
    schedule_epochs: int | None = None,
    settings: TrainerSettings | None = None,
    report: Report | None = None,
    keep_network: bool = False,
    checkpoint: Path | None = None,
    checkpoint_epochs: int = 1,
    teacher: Teacher | None = None,
) -> Training:
    """`train` of the network of a reference (`narsfast.arch.create_model`) at a resolution in pixels.

    Raises:
        UserError: there is no such network, or the recipe has a drop path that it cannot take.
    """
    settings = settings or TrainerSettings()

    def build() -> nn.Module:
        network = create_model(reference, len(data.classes), data.in_chans, recipe.dropout, recipe.drop_path)
        set_ops(network, settings.ops)
        return network

    return train_network(
        build,
        resolution,
        recipe,
        data,
        epochs=epochs,
        seed=seed,
        schedule_epochs=schedule_epochs,
        settings=settings,
        report=report,
        keep_network=keep_network,
        checkpoint=checkpoint,
        checkpoint_epochs=checkpoint_epochs,
        teacher=teacher,
    )
