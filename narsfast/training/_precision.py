"""Mixed precision: autocast, and scaling of the loss for float16."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch.amp.grad_scaler import GradScaler

from narsfast.common.options import PrecisionName

_AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class Precision:
    """How one training computes: weights, gradients, optimizer and averages are float32 in every precision.

    float16 has a narrow range of exponents, so the loss is scaled (Micikevicius et al., "Mixed precision training",
    ICLR 2018). A step whose gradients are not finite is skipped, as is its update of the moving average, and the scale
    is halved; the scale's start and growth are torch's.

    Attributes:
        scaler: Of the loss; it does nothing in a precision other than float16.
    """

    def __init__(self, name: PrecisionName, device: torch.device) -> None:
        self._dtype = _AUTOCAST.get(name)
        self._device = device.type
        self.scaler = GradScaler(device.type, enabled=name == "float16")

    def autocast(self) -> AbstractContextManager[object]:
        """Return a context in which operators compute in this precision."""
        if self._dtype is None:
            return nullcontext()
        return torch.autocast(self._device, self._dtype)
