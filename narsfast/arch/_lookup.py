"""What is known of a network by its reference, before it is trained: where it comes from, what it can take."""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path

from torch import nn

from narsfast.errors import UserError

from ._model import _built, _stochastic_depths
from ._network import resolve_definition


def absolute_reference(reference: str) -> str:
    """The reference with the absolute path of its file, where it names one: a run goes on from any directory.

    A folder with a definition.json is that file.
    """
    if (definition := Path(reference).expanduser() / "definition.json").is_file():
        return str(definition.resolve())
    source, separator, name = reference.rpartition(":")
    if separator and source.endswith(".py"):
        return f"{Path(source).expanduser().resolve()}:{name}"
    return str(Path(reference).expanduser().resolve()) if reference.endswith(".json") else reference


def reference_file(reference: str) -> Path | None:
    """The file that a reference names: a factory's .py or a definition's .json; None where it names none."""
    source, separator, _ = reference.rpartition(":")
    if separator:
        return Path(source) if source.endswith(".py") else None
    return Path(reference) if reference.endswith(".json") else None


def reference_version(reference: str) -> str:
    """What the network depends on apart from its name: the hash of its file, or the package and its version.

    Raises:
        UserError: the file cannot be read.
    """
    file = reference_file(reference)
    if file is not None:
        try:
            return f"sha256 {hashlib.sha256(file.read_bytes()).hexdigest()[:16]}"
        except OSError as error:
            raise UserError(f"model file {str(file)!r} cannot be read ({error.strerror})") from None
    source = reference.rpartition(":")[0] or "narsfast"
    return f"{source} {metadata.version(source)}"


def cannot_take(reference: str) -> dict[str, str]:
    """Recipe fields that a network cannot take, each with the reason: drop path, dropout, both or none.

    Raises:
        UserError: as `create_model`.
    """
    if ":" not in reference:
        resolve_definition(reference)
        return {}
    network = _built(reference, 2, 3, 0.1)
    missing = {}
    if not _stochastic_depths(network):
        missing["drop_path"] = "has no stochastic depth"
    if not any(isinstance(module, nn.Dropout | nn.Linear) for module in network.modules()):
        missing["dropout"] = "has neither a dropout layer nor a linear one"
    return missing
