"""Loading of a trained network and its preprocessing from an emitted folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from narsfast.arch import WEIGHTS_FILE, create_model, load_weights, read_definition
from narsfast.errors import UserError, refusal

MODEL_FILE = "model.py"
"""Name of the copy of a factory's file in an emitted folder."""


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
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; {directory} is not a folder written by narsfast emit") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid JSON ({error}); emit the network again") from None


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


def load(directory: str | Path) -> nn.Module:
    """Load the trained network of an emitted folder.

    Args:
        directory: A folder written by `emit`. If the network comes from a factory, the folder's model.py is executed.

    Returns:
        The network on the CPU, in eval mode, with the trained weights.

    Raises:
        UserError: A file is missing or broken; the message names it.
    """
    directory = Path(directory)
    network = _untrained(directory, read_preprocessing(directory))
    load_weights(network, directory / WEIGHTS_FILE)
    return network.eval()


def _untrained(directory: Path, preprocessing: Preprocessing) -> nn.Module:
    """Build the network of the folder's definition, or of the reference in its emission.json."""
    classes, channels = len(preprocessing.classes), preprocessing.in_chans
    if not (directory / "definition.json").exists() and (directory / "emission.json").exists():
        reference = read_json(directory, "emission.json").get("model")
        if isinstance(reference, str):
            if reference.startswith(f"{MODEL_FILE}:"):
                reference = str(directory / reference)
            return create_model(reference, classes, channels)
    definition = read_definition(directory / "definition.json")
    return create_model(definition, classes, channels, padding=preprocessing.padding)
