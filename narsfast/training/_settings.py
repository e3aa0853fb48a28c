"""How trainings are computed, apart from what a recipe says."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ._backend import OptimBackend, resolve_backend

_DEVICE = "cpu"  # where networks are trained


class TrainerSettings(BaseModel):
    """What all trainings of a run share, and no recipe searches. Every default is this project's choice.

    Attributes:
        threads_per_trial: CPU threads of one training.
        ops: path of the networks in trainings: this project's kernels (``fused``) or torch's modules (``torch``).
        optim_backend: who computes the optimiser's step: this project's compiled code (``native``), torch, NVIDIA's
            ``apex``, or the best that can be used (``auto``), see `narsfast.training.resolve_backend`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    threads_per_trial: int = Field(1, ge=1)
    ops: Literal["fused", "torch"] = "fused"
    optim_backend: OptimBackend = "auto"

    def resolved(self) -> TrainerSettings:
        """These settings with what each ``auto`` stands for on this machine.

        Raises:
            UserError: what is asked for cannot be used here.
        """
        return self.model_copy(update={"optim_backend": resolve_backend(self.optim_backend, _DEVICE)})
