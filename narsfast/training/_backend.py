"""Who computes the optimizer's step: this project's compiled code, torch or NVIDIA's apex."""

from __future__ import annotations

from narsfast import _native
from narsfast.common.options import OptimBackend
from narsfast.errors import UserError

from ._apex import find_apex, require_apex


def resolve_backend(backend: OptimBackend, device: str) -> OptimBackend:
    """Return the backend that ``auto`` stands for on a device; another one as it is.

    ``auto`` is apex on CUDA where it can be used, else torch there, and native on the CPU. An optimizer that a backend
    does not have is computed by torch, see `narsfast.training.effective_backend`.

    Args:
        backend: As asked for.
        device: Type of the device of the weights, as in ``cpu``.

    Raises:
        UserError: Apex, or this project's step on CUDA, is asked for and cannot be used.
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
