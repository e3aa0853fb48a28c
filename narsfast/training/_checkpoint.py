"""A training that was killed goes on where its last checkpoint is, and ends as if it had never been interrupted."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from narsfast.common.files import replacing
from narsfast.errors import UserError

from ._ranks import Ranks

CHECKPOINT_FILE = "checkpoint.pt"
"""Name of the checkpoint in the folder of a training."""

_ABSENT = object()


class Checkpoint:
    """The file of one training: what it holds, and the arguments that it was made with.

    Args:
        path: the file; written by the first process, read by all.
        arguments: everything that decides the result, in JSON types; a checkpoint of others is refused.
        ranks: the processes of the training.
        device: whose random numbers are kept beside the CPU's.
    """

    def __init__(self, path: Path, arguments: Mapping[str, Any], ranks: Ranks, device: torch.device) -> None:
        self._path = path
        self._arguments = arguments
        self._ranks = ranks
        self._device = device

    def save(self, state: Mapping[str, Any]) -> None:
        """Writes a state (tensors, numbers, texts, lists and dictionaries of them) and all random generators.

        A reader finds this checkpoint or the one before, never half of one.
        """
        generators = self._ranks.gather(_generators(self._device))
        if self._ranks.rank == 0:
            content = {"arguments": dict(self._arguments), "generators": generators, "state": dict(state)}
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self._path) as temporary, temporary.open("wb") as file:
                torch.save(content, file)

    def load(self) -> dict[str, Any] | None:
        """The state last saved, with the random generators set to where they were; None where there is no file.

        Raises:
            UserError: the file is no checkpoint, or one of a training with other arguments.
        """
        if not self._path.exists():
            return None
        try:
            content = torch.load(self._path, map_location="cpu", weights_only=True)
            arguments, generators = content["arguments"], content["generators"]
            state: dict[str, Any] = content["state"]
        except (OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
            raise UserError(
                f"checkpoint {self._path} cannot be read ({type(error).__name__}); remove it to begin anew"
            ) from None
        if different := _difference(arguments, self._arguments):
            raise UserError(
                f"checkpoint {self._path} belongs to a training with other arguments ({different}); remove it to begin "
                "anew, or name another file"
            )
        _set_generators(generators[self._ranks.rank], self._device)
        return state

    def remove(self) -> None:
        """Deletes the file, if there is one; by the first process."""
        if self._ranks.rank == 0:
            self._path.unlink(missing_ok=True)


def _generators(device: torch.device) -> list[torch.Tensor]:
    on_device = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *on_device]


def _set_generators(states: list[torch.Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)


def _difference(stored: Mapping[str, Any], given: Mapping[str, Any], prefix: str = "") -> str:
    """The first argument that differs, with both values; empty when there is none."""
    for name in sorted(stored.keys() | given.keys()):
        old, new = stored.get(name, _ABSENT), given.get(name, _ABSENT)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            if different := _difference(old, new, f"{prefix}{name}."):
                return different
        elif old != new:
            was, now = ("nothing" if value is _ABSENT else repr(value) for value in (old, new))
            return f"{prefix}{name} was {was}, is {now}"
    return ""
