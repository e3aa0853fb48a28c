"""Files of weights from elsewhere: tensors by name, never code."""

from __future__ import annotations

import hashlib
import io
import logging
import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor

from narsfast.common.files import expanded
from narsfast.errors import UserError

SAFETENSORS = ".safetensors"
PICKLED = (".pth", ".pt", ".bin", ".tar", ".ckpt")
"""Endings of files that `torch.save` wrote."""

# Where training scripts keep the state dict in what they save (timm, torchvision, Lightning, ...): averaged weights
# first, as those are the ones that a script tests.
_NESTED = (
    "state_dict_ema",
    "model_ema",
    "state_dict",
    "model",
    "model_state_dict",
    "model_state",
    "network",
    "net",
    "module",
)
_PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "net.")
_COUNTER = "n_averaged"  # of torch's AveragedModel, beside the network's tensors

_log = logging.getLogger("narsfast.arch")


@dataclass(frozen=True)
class TensorFile:
    """The tensors of a file.

    Attributes:
        tensors: By name, on the CPU; floating-point ones are float32.
        sha256: Of the file.
    """

    tensors: dict[str, Tensor]
    sha256: str


def read_tensor_file(path: str | Path) -> TensorFile:
    """Read a safetensors file, or a state dict that `torch.save` wrote (with ``weights_only=True``: no code is run).

    A state dict inside what training scripts save beside it is found, and prefixes that all names share are taken off;
    both are told on the log.

    Raises:
        UserError: It cannot be read, is damaged, holds code, or something else than finite tensors.
    """
    file = expanded(path)
    if file.suffix != SAFETENSORS and file.suffix not in PICKLED:
        raise UserError(
            f"weights {str(path)!r} are of an unknown kind; give a {SAFETENSORS} file or a state dict as .pth or .pt"
        )
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(
            f"weights {str(path)!r} cannot be read ({error.strerror}); name another file"
        ) from None
    found = _safetensors(file, content) if file.suffix == SAFETENSORS else _pickled(file, content)
    tensors = _float32(file, _without_prefixes(file, _state_dict(file, found)))
    return TensorFile(tensors, hashlib.sha256(content).hexdigest())


def _safetensors(file: Path, content: bytes) -> Mapping[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_safetensors(content)
    except (SafetensorError, ValueError) as error:
        raise _damaged(file, error) from None
    return tensors


def _pickled(file: Path, content: bytes) -> object:
    try:
        with warnings.catch_warnings():  # what torch warns of, a sentence says below
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds, also of its own pickle reader
        text = str(error)
        code = isinstance(error, pickle.UnpicklingError) and re.search(
            r"GLOBAL|Unsupported (global|class)", text
        )
        if not code and "TorchScript" not in text:
            raise _damaged(file, error) from None
    raise UserError(
        f"weights {str(file)!r} hold code or objects beside tensors, which loading would run; save them as "
        "torch.save(network.state_dict(), FILE), or as safetensors"
    )


def _damaged(file: Path, error: Exception) -> UserError:
    reason = str(error).strip().splitlines()[0][:100] if str(error).strip() else type(error).__name__
    return UserError(f"weights {str(file)!r} are damaged or cut off ({reason}); fetch the file again")


def _state_dict(file: Path, found: object) -> dict[str, Any]:
    """Return the mapping of tensors in what a file holds."""
    if isinstance(found, Mapping):
        if found and all(isinstance(value, Tensor) for value in found.values()):
            return dict(found)
        for key in _NESTED:
            inner = found.get(key)
            if isinstance(inner, Mapping) and inner:
                _log.info("%s: the tensors are taken from its entry %r", file, key)
                return _state_dict(file, inner)
        for name, value in found.items():
            if not isinstance(value, Tensor):
                raise UserError(
                    f"weights {str(file)!r} are no state dict: {name!r} is {type(value).__name__}, not a tensor; save "
                    "them as torch.save(network.state_dict(), FILE)"
                )
    held = "no tensor" if isinstance(found, Mapping) else type(found).__name__
    raise UserError(f"weights {str(file)!r} hold {held}; save them as torch.save(network.state_dict(), FILE)")


def _without_prefixes(file: Path, state: dict[str, Any]) -> dict[str, Tensor]:
    """Take prefixes off that all names share, as wrappers of networks add them."""
    names = [name for name in state if name != _COUNTER]
    for prefix in _PREFIXES:
        if names and all(name.startswith(prefix) for name in names):
            _log.info("%s: the prefix %r is taken off all names", file, prefix)
            return _without_prefixes(file, {name.removeprefix(prefix): state[name] for name in names})
    return state


def _float32(file: Path, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    tensors = {}
    for name, tensor in state.items():
        tensors[name] = tensor.float() if tensor.is_floating_point() else tensor
        if tensor.is_floating_point() and not bool(tensors[name].isfinite().all()):
            raise UserError(
                f"weights {str(file)!r} are not finite: {name} has NaN or infinity; name another file"
            )
    return tensors
