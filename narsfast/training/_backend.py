"""Who computes the optimizer's step: this project's compiled code, torch or NVIDIA's apex."""

from __future__ import annotations

from collections.abc import Iterable

from narsfast import _native
from narsfast.common.options import OptimBackend
from narsfast.errors import UserError

from ._apex import find_apex, require_apex


def resolve_backend(backend: OptimBackend, device: str) -> OptimBackend:
    """The backend that ``auto`` stands for on a device; another one as it is.

    ======  ===========================  ==================  =========
    word    RMSProp                      SGD, AdamW          LAMB
    ======  ===========================  ==================  =========
    native  this project's compiled one  torch, fused        an error
    torch   torch's operators            torch, fused        an error
    apex    torch's operators            apex, fused         apex
    ======  ===========================  ==================  =========

    ``auto`` is apex on CUDA where it can be used, else torch there, and native on the CPU.

    Args:
        backend: as asked for.
        device: type of the device of the weights, as in ``cpu``.

    Raises:
        UserError: apex, or this project's step on CUDA, is asked for and cannot be used.
    """
    if backend == "auto":
        if device == "cpu":
            return "native"
        return "apex" if device == "cuda" and find_apex()[0] is not None else "torch"
    if backend == "native" and device == "cuda" and not _native.cuda_built():
        raise UserError(
            "optim_backend is 'native', which this installation has for the CPU only, and the device is 'cuda'; install "
            "narsfast with -C cmake.define.NARSFAST_CUDA=ON, or take 'auto'"
        )
    if backend == "apex":
        require_apex("optim_backend", backend)
        if device != "cuda":
            raise UserError(
                f"optim_backend is 'apex', which computes on CUDA only, and the device is {device!r}; take 'auto'"
            )
    return backend


def computed_by(optimizer: str, backend: OptimBackend) -> OptimBackend:
    """Who computes the step of one optimizer under a backend that `resolve_backend` gave."""
    if optimizer == "rmsprop":
        return "torch" if backend == "apex" else backend
    return "apex" if backend == "apex" else "torch"


def check_optimizers(optimizers: Iterable[str], backend: OptimBackend) -> None:
    """Refuses optimizers that a backend, as `resolve_backend` gives it, has not.

    Raises:
        UserError: LAMB without apex.
    """
    if backend != "apex" and "lamb" in optimizers:
        _, reason = find_apex()
        raise UserError(
            f"optimizer is 'lamb', which only NVIDIA's apex on CUDA computes, and optim_backend is {backend!r}"
            f"{f' ({reason})' if reason else ''}; take 'adamw', or optim_backend 'apex' where apex is"
        )
