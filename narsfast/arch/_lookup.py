"""Facts about a network from its reference: its file, its version, the recipe fields that it supports."""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path

from torch import nn

from narsfast.common.files import expanded
from narsfast.common.modules import siblings
from narsfast.errors import UserError

from ._model import _built, _stochastic_depths
from ._network import resolve_definition


def absolute_reference(reference: str) -> str:
    """Make the path of a reference's file absolute, so that a run can be resumed from any directory.

    A folder that has a definition.json stands for that file.
    """
    if (definition := expanded(reference) / "definition.json").is_file():
        return str(definition.resolve())
    source, separator, name = reference.rpartition(":")
    if separator and source.endswith(".py"):
        return f"{expanded(source).resolve()}:{name}"
    return str(expanded(reference).resolve()) if reference.endswith(".json") else reference


def reference_file(reference: str) -> Path | None:
    """Return the file of a reference, a factory's .py or a definition's .json, or None."""
    source, separator, _ = reference.rpartition(":")
    if separator:
        return Path(source) if source.endswith(".py") else None
    return Path(reference) if reference.endswith(".json") else None


def reference_version(reference: str) -> str:
    """Return the version of a referenced network: the hash of its file and those it imports, or package and version.

    Raises:
        UserError: The file cannot be read.
    """
    file = reference_file(reference)
    if file is not None:
        try:
            digest = hashlib.sha256(file.read_bytes())
            if file.suffix == ".py":
                for imported in siblings(file):
                    digest.update(imported.relative_to(file.parent).as_posix().encode())
                    digest.update(hashlib.sha256(imported.read_bytes()).digest())
            return f"sha256 {digest.hexdigest()[:16]}"
        except OSError as error:
            raise UserError(f"model file {str(file)!r} cannot be read ({error.strerror})") from None
        except (SyntaxError, ValueError) as error:
            raise UserError(f"model file {str(file)!r} is not Python ({error}); fix the file") from None
    source = reference.rpartition(":")[0] or "narsfast"
    return f"{source} {metadata.version(source)}"


def unsupported_recipe_fields(reference: str) -> dict[str, str]:
    """Return the recipe fields that a network does not support (drop_path, dropout), each with the reason.

    Raises:
        UserError: As for `create_model`.
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
