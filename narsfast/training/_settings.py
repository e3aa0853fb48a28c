"""How trainings are computed, apart from what a recipe says."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from narsfast.data import LoaderChoice

from ._rmsprop import OptimBackend


class TrainerSettings(BaseModel):
    """What all trainings of a run share, and no recipe searches. Every default is this project's choice.

    Attributes:
        threads_per_trial: CPU threads of one training.
        ops: path of the networks in trainings: this project's kernels (``fused``) or torch's modules (``torch``).
        optim_backend: who computes RMSProp's step: this project's compiled one (``native``), torch's operators
            (``torch``), or the first where it can (``auto``: float32 on the CPU).
        loader: who makes the batches: NVIDIA DALI (``dali``), Pillow and torchvision (``torchvision``), or the first for
            image folders where it is installed (``auto``).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    threads_per_trial: int = Field(1, ge=1)
    ops: Literal["fused", "torch"] = "fused"
    optim_backend: OptimBackend = "auto"
    loader: LoaderChoice = "auto"
