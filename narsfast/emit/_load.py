"""Loading of a trained network and its preprocessing from an emitted folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from narsfast.arch import WEIGHTS_FILE, create_model, load_weights, read_definition
from narsfast.common.parse_json import parse_json
from narsfast.errors import UserError, refusal

MODEL_FILE = "model.py"
"""Name of the copy of a factory's file in an emitted folder, if it imports no file beside it."""
CODE_FOLDER = "code"
"""Name of the folder with a factory's file and those that it imports, under their own names."""


LARGEST = 4096
"""Largest resolution of an emitted network, pixels (this project's choice): one image takes 200 MB as its input."""


class Preprocessing(BaseModel):
    """The content of preprocessing.json: the preprocessing of images and the meaning of logits.

    Attributes:
        classes: Class names in the order of the logits.
        in_chans: Channels of the input.
        resolution: Height and width of the input in pixels.
        crop: Side of the centered square that is used, as a share of the image's shorter side.
        resize: Pixels of the shorter side, for pipelines that resize it and then crop the center.
        mean: Mean per channel, of values 0 to 1.
        std: Standard deviation per channel, of values 0 to 1.
        padding: Padding mode of the network, ``published`` or ``half``.
        short_side: As in `narsfast.common.images.Reading`, as are the following ones.
        draft: As there.
        orient: As there.
        bit_depth: As there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: tuple[str, ...] = Field(min_length=1)
    in_chans: int = Field(ge=1)
    resolution: int = Field(ge=1, le=LARGEST)
    crop: float = Field(gt=0, le=1)
    resize: int = Field(ge=1)
    mean: tuple[float, ...]
    std: tuple[float, ...]
    padding: str
    short_side: int | None = Field(None, ge=1)
    draft: bool = False
    orient: bool = False
    bit_depth: int | None = Field(None, ge=8, le=16)


def read_json(directory: Path, name: str) -> Any:
    """Read one JSON file of an emitted folder.

    Raises:
        UserError: The folder or the file is missing, or the file is not JSON.
    """
    if not directory.is_dir():
        raise UserError(
            f"{directory} is not a folder; give the folder of one network, as `narsfast best` lists them"
        )
    path = directory / name
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path} is missing; {directory} is not a folder written by narsfast emit") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text in UTF-8 ({error}); emit the network again") from None
    return parse_json(text, str(path), "emit the network again")


def read_preprocessing(directory: str | Path) -> Preprocessing:
    """Read preprocessing.json of an emitted folder.

    Raises:
        UserError: The file is missing or broken.
    """
    directory = Path(directory)
    try:
        return Preprocessing.model_validate(read_json(directory, "preprocessing.json"))
    except ValidationError as error:
        raise UserError(
            f"{directory / 'preprocessing.json'} is broken: {refusal(error)}; emit again"
        ) from None


def load(
    directory: str | Path, *, ops: str = "fused", run_code: bool = False, verify: bool = True
) -> nn.Module:
    """Load the trained network of an emitted folder.

    Args:
        directory: A folder written by `emit`.
        ops: Implementation of a narsfast network's operators, "fused" or "torch".
        run_code: Run the folder's Python code if the network comes from a factory in a file: only if you trust it.
        verify: Check that the files are those that were emitted, by the hashes in emission.json; without that file,
            nothing is checked.

    Returns:
        The network on the CPU, in eval mode, with the trained weights.

    Raises:
        UserError: A file is missing, broken or another one than was emitted, or the network needs code that may not run.
    """
    directory = Path(directory)
    preprocessing = read_preprocessing(directory)
    reference = _reference(directory)
    code = () if reference is None else _code_files(directory, reference)
    if verify:
        check_hashes(directory, ("preprocessing.json", "definition.json", WEIGHTS_FILE, *code))
    if code and not run_code:
        raise UserError(
            f"{directory} is built by Python code in {code[0]}, which loading would run; read it, and if you trust it, "
            "load with run_code=True"
        )
    classes, channels = len(preprocessing.classes), preprocessing.in_chans
    if reference is None:
        definition = read_definition(directory / "definition.json")
        network = create_model(definition, classes, channels, ops=ops, padding=preprocessing.padding)
    else:
        network = create_model(str(directory / reference) if code else reference, classes, channels, ops=ops)
    load_weights(network, directory / WEIGHTS_FILE)
    return network.eval()


def _reference(directory: Path) -> str | None:
    """Return the reference of a folder without a definition.

    Raises:
        UserError: It is not a reference that `emit` writes.
    """
    if (directory / "definition.json").exists() or not (directory / "emission.json").exists():
        return None
    reference = _manifest(directory).get("model")
    if reference is None:
        return None
    if not isinstance(reference, str) or not reference.rpartition(":")[0]:
        raise UserError(f"{directory / 'emission.json'} is broken: model is {reference!r}; emit again")
    return reference


def _code_files(directory: Path, reference: str) -> tuple[str, ...]:
    """Return the Python files that a reference runs, by their names in the folder, its own first.

    Raises:
        UserError: The reference names a file elsewhere.
    """
    source = reference.rpartition(":")[0]
    if not source.endswith(".py"):
        return ()
    if source == MODEL_FILE:
        return (source,)
    if Path(source).parent.as_posix() != CODE_FOLDER:
        raise UserError(
            f"{directory / 'emission.json'} names the file {source!r}; only {MODEL_FILE} and files in {CODE_FOLDER} of "
            "the folder itself are run"
        )
    files = sorted(path.relative_to(directory).as_posix() for path in (directory / CODE_FOLDER).rglob("*.py"))
    return (source, *(name for name in files if name != source))


def check_hashes(directory: Path, names: Iterable[str], intended: str = "load with verify=False") -> None:
    """Check that files are those that were emitted; what emission.json does not list is not checked.

    Args:
        directory: The emitted folder.
        names: Of files in it.
        intended: What to do where a change is intended, for the message.

    Raises:
        UserError: A file has another SHA-256 than emission.json says.
    """
    if not (directory / "emission.json").exists():
        return
    listed = _manifest(directory).get("sha256")
    if not isinstance(listed, dict):
        return
    for name in names:
        path = directory / name
        if (
            name in listed
            and path.is_file()
            and hashlib.sha256(path.read_bytes()).hexdigest() != listed[name]
        ):
            raise UserError(
                f"{path} is not the file that was emitted: its SHA-256 differs from the one in emission.json; copy the "
                f"folder again, or {intended} if the change is intended"
            )


def _manifest(directory: Path) -> dict[str, Any]:
    manifest = read_json(directory, "emission.json")
    if not isinstance(manifest, dict):
        raise UserError(f"{directory / 'emission.json'} is broken: it is not a JSON object; emit again")
    return manifest
