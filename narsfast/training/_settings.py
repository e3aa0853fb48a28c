"""How trainings are computed, apart from what a recipe says."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from narsfast.common.option_field import option_field
from narsfast.common.options import Device, LoaderChoice, OpsName, OptimBackend, PrecisionName
from narsfast.data import Dataset, DataSource, resolve_loader

from ._backend import resolve_backend
from ._device import resolve_device


class TrainerSettings(BaseModel):
    """What all trainings of a run share, and no recipe searches.

    `narsfast.common.options` describes the fields. A run keeps what each ``auto`` stood for when it was made.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    threads_per_trial: int = option_field("threads_per_trial")
    ops: OpsName = option_field("ops")
    optim_backend: OptimBackend = option_field("optim_backend")
    device: Device = option_field("device")
    precision: PrecisionName = option_field("precision")
    accumulate: int = option_field("accumulate")
    clip_norm: float | None = option_field("clip_norm")
    processes_per_trial: int = option_field("processes_per_trial")
    loader: LoaderChoice = option_field("loader")

    def resolved(self, data: DataSource | Dataset) -> TrainerSettings:
        """Return these settings with what each ``auto`` stands for on this machine.

        Args:
            data: That will be trained on.

        Raises:
            UserError: What is asked for cannot be used here.
        """
        device = resolve_device(self.device)
        return self.model_copy(
            update={
                "device": device,
                "optim_backend": resolve_backend(self.optim_backend, device),
                "loader": resolve_loader(self.loader, data),
            }
        )
