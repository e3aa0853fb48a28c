"""Checkpoints: a training that was killed is resumed from its last one, and ends as if it had never been interrupted."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from narsfast.common.differences import differences
from narsfast.common.files import replacing
from narsfast.common.version import trains_alike
from narsfast.errors import UserError
from narsfast.space import Recipe

from ._process_group import ProcessGroup

CHECKPOINT_FILE = "checkpoint.pt"
"""Name of the checkpoint in the folder of a training."""


class Checkpoint:
    """The file of one training: its state, and the arguments that it was made with.

    Args:
        path: The file; the first process writes it, all read it.
        arguments: Everything that decides the result, in JSON types; a checkpoint of others is refused.
        group: The processes of the training.
        device: Its random generator is kept beside the CPU's.
    """

    def __init__(
        self, path: Path, arguments: Mapping[str, Any], group: ProcessGroup, device: torch.device
    ) -> None:
        self._path = path
        self._arguments = arguments
        self._group = group
        self._device = device

    def save(self, state: Mapping[str, Any]) -> None:
        """Write a state (tensors, numbers, texts, lists and dictionaries of them) and all random generators.

        A reader finds this checkpoint or the one before, never half of one.
        """
        generators = self._group.gather(_generators(self._device))
        if self._group.rank == 0:
            content = {"arguments": dict(self._arguments), "generators": generators, "state": dict(state)}
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self._path) as temporary, temporary.open("wb") as file:
                torch.save(content, file)

    def load(self) -> dict[str, Any] | None:
        """Return the state last saved and restore the random generators; None where there is no file.

        Raises:
            UserError: The file is not a checkpoint, or it belongs to a training with other arguments.
        """
        if not self._path.exists():
            return None
        try:
            content = torch.load(self._path, map_location="cpu", weights_only=True)
            arguments, generators = content["arguments"], content["generators"]
            state: dict[str, Any] = content["state"]
        except (OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
            raise UserError(
                f"checkpoint {self._path} cannot be read ({type(error).__name__}); remove it to start over"
            ) from None
        if different := differences(_upgraded(arguments, self._arguments), self._arguments):
            raise UserError(
                f"checkpoint {self._path} belongs to a training with other arguments ({'; '.join(different)}); remove "
                "it to start over, or name another file"
            )
        _set_generators(generators[self._group.rank], self._device)
        return state

    def remove(self) -> None:
        """Delete the file, if there is one; the first process does."""
        if self._group.rank == 0:
            self._path.unlink(missing_ok=True)


def _upgraded(stored: Mapping[str, Any], here: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return stored arguments as this version writes them, where it trains like the version that stored them."""
    stored = {
        name: value for name, value in stored.items() if name != "epochs"
    }  # those asked for decide nothing
    if "content" not in stored and "content" in here:  # version 0.2 told data apart by "data" alone
        stored = {**stored, "content": here["content"]}
    made_by, version = (arguments.get("versions", {}).get("narsfast", "") for arguments in (stored, here))
    if not trains_alike(made_by, version):
        return stored
    return {
        **stored,
        "versions": {**stored["versions"], "narsfast": version},
        "recipe": Recipe.of(stored["recipe"]).model_dump(mode="json"),
    }


def _generators(device: torch.device) -> list[torch.Tensor]:
    on_device = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *on_device]


def _set_generators(states: list[torch.Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)
