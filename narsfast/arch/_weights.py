"""Weights of a network as a safetensors file."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from narsfast.common.files import replacing
from narsfast.common.machine import machine_error
from narsfast.errors import UserError

WEIGHTS_FILE = "weights.safetensors"
"""Name of the file of weights in the folder of a training or of an emitted network."""

CLASSIFIER = "head.classifier."
"""How the names of the tensors of a narsfast network's classifier begin."""


class LostWeightsError(UserError):
    """A file of weights is missing, damaged or of another network."""


def save_weights(network: nn.Module, path: str | Path) -> None:
    """Write all parameters and buffers atomically.

    Args:
        network: The network, on any device.
        path: The file; its folder is created if needed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with replacing(path) as temporary:
        save_file(state, temporary, metadata={"format": "pt"})


def load_weights(network: nn.Module, path: str | Path, but: str | None = None) -> None:
    """Load weights into a network of the same definition, classes and channels.

    Args:
        network: It is changed in place.
        path: The file.
        but: Tensors whose names begin so keep their own values, and may have another shape in the file.

    Raises:
        LostWeightsError: The file is missing, not a safetensors file, or from another network.
        MachineError: It cannot be read just now.
    """
    state = read_weights(path)
    if but is not None:
        own = {name: tensor for name, tensor in network.state_dict().items() if name.startswith(but)}
        state = {name: tensor for name, tensor in state.items() if not name.startswith(but)} | own
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise LostWeightsError(
            f"weights {str(path)!r} do not fit the network: {' '.join(str(error).split())[:300]}"
        ) from None


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """Read the tensors that `save_weights` wrote, by name.

    Raises:
        LostWeightsError: The file is missing, or not a safetensors file.
        MachineError: It cannot be read just now.
    """
    try:
        state: dict[str, torch.Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        trouble = None if isinstance(error, FileNotFoundError) else machine_error(error)
        if trouble is not None:
            raise trouble from error
        raise LostWeightsError(
            f"weights {str(path)!r} cannot be read as a safetensors file: {str(error).splitlines()[0]}"
        ) from None
    return state
