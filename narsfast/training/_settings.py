"""How trainings are computed, apart from what a recipe says."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from narsfast.data import LoaderChoice, resolve_loader

from ._backend import OptimBackend, resolve_backend
from ._device import Device, resolve_device
from ._precision import PrecisionName


class TrainerSettings(BaseModel):
    """What all trainings of a run share, and no recipe searches. Every default is this project's choice.

    Attributes:
        threads_per_trial: CPU threads of one training.
        ops: path of the networks in trainings: this project's kernels (``fused``) or torch's modules (``torch``).
        optim_backend: who computes the optimizer's step: this project's compiled code (``native``), torch, NVIDIA's
            ``apex``, or the best that can be used (``auto``), see `narsfast.training.resolve_backend`.
        device: where networks are trained: ``cpu``, ``cuda``, or ``auto``: cuda where there is one. A run keeps
            what ``auto`` was when it was made.
        precision: of the forward and backward passes. ``bfloat16`` and ``float16`` are torch's autocast, with
            weights, gradients and optimizer in float32; float16 scales the loss.
        accumulate: micro-batches that one step adds up gradients of, for batches that do not fit into memory. The
            recipe's batch size is their sum. Fewer where they would have less than two images.
        clip_norm: largest norm of all gradients together, above which they are scaled down to it; None does not.
        processes_per_trial: processes that share each step of a training, each on a GPU of its own where the
            device is cuda. The recipe's batch size is the sum over them.
        loader: who makes the batches: NVIDIA DALI (``dali``), Pillow and torchvision (``torchvision``), or the first for
            image folders where it is installed (``auto``).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    threads_per_trial: int = Field(1, ge=1)
    ops: Literal["fused", "torch"] = "fused"
    optim_backend: OptimBackend = "auto"
    device: Device = "auto"
    precision: PrecisionName = "float32"
    accumulate: int = Field(1, ge=1)
    clip_norm: float | None = Field(None, gt=0)
    processes_per_trial: int = Field(1, ge=1)
    loader: LoaderChoice = "auto"

    def resolved(self, *, embedded: bool) -> TrainerSettings:
        """These settings with what each ``auto`` stands for on this machine.

        Args:
            embedded: whether the data is embedded (digits) and not a folder.

        Raises:
            UserError: what is asked for cannot be used here.
        """
        device = resolve_device(self.device)
        return self.model_copy(
            update={
                "device": device,
                "optim_backend": resolve_backend(self.optim_backend, device),
                "loader": resolve_loader(self.loader, embedded),
            }
        )
