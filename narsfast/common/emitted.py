"""What every emitted folder states of itself: the preprocessing of its images, and the hashes of its files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from narsfast.errors import UserError, refusal

from .images import Interpolation
from .parse_json import parse_json

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
        interpolation: How the square is resized, antialiased.
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
    interpolation: Interpolation = "bilinear"

    @model_serializer(mode="wrap")
    def _without_usual(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the usual interpolation, which earlier versions neither wrote nor read."""
        values: dict[str, Any] = serialize(self)
        if self.interpolation == "bilinear":
            del values["interpolation"]
        return values


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
    listed = read_manifest(directory).get("sha256")
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


def read_manifest(directory: Path) -> dict[str, Any]:
    """Read emission.json of an emitted folder.

    Raises:
        UserError: It is missing or broken.
    """
    manifest = read_json(directory, "emission.json")
    if not isinstance(manifest, dict):
        raise UserError(f"{directory / 'emission.json'} is broken: it is not a JSON object; emit again")
    return manifest
