"""From an emitted folder back to a trained network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from narsfast.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable


class Preprocessing(BaseModel):
    """preprocessing.json: what an image must go through, and what the logits mean.

    Attributes:
        classes: class names in the order of the logits.
        in_chans: channels of the input.
        resolution: height and width of the input in pixels.
        resize: the shorter side in pixels before the centre crop to `resolution`.
        interpolation: ``bilinear`` or ``bicubic``.
        mean: per channel, on values 0..1.
        std: per channel.
        padding: padding mode of the network, ``published`` or ``half``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: tuple[str, ...] = Field(min_length=1)
    in_chans: int = Field(ge=1)
    resolution: int = Field(ge=1)
    resize: int = Field(ge=1)
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    padding: str


def read_json(directory: Path, name: str) -> Any:
    """Read one JSON file of an emitted folder.

    Raises:
        UserError: the folder or the file is missing, or the file is not JSON.
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
        UserError: a missing or broken file, with its name.
    """
    directory = Path(directory)
    try:
        return Preprocessing.model_validate(read_json(directory, "preprocessing.json"))
    except ValidationError as error:
        raise UserError(
            f"{directory / 'preprocessing.json'} is broken: {_first(error)}; emit again"
        ) from None


def _first(error: ValidationError) -> str:
    problem = error.errors()[0]
    return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"


def load(directory: str | Path) -> nn.Module:
    """Return the trained network of an emitted folder.

    Args:
        directory: a folder written by `emit`.

    Returns:
        The network on the CPU, in eval mode, with the trained weights.

    Raises:
        UserError: a missing or broken file, with its name.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from narsfast.arch import Definition, create

    directory = Path(directory)
    preprocessing = read_preprocessing(directory)
    try:
        definition = Definition.model_validate(read_json(directory, "definition.json"))
    except ValidationError as error:
        raise UserError(f"{directory / 'definition.json'} is broken: {_first(error)}; emit again") from None
    network = create(
        definition,
        num_classes=len(preprocessing.classes),
        in_chans=preprocessing.in_chans,
        padding=preprocessing.padding,
    )
    path = directory / "weights.safetensors"
    try:
        weights = load_file(path)
    except (FileNotFoundError, SafetensorError, OSError) as error:
        reason = "is missing" if not path.exists() else f"cannot be read ({error})"
        raise UserError(f"{path} {reason}; emit the network again") from None
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        detail = str(error).strip().splitlines()[-1].strip()
        raise UserError(f"{path} does not fit definition.json beside it ({detail}); emit again") from None
    return network.eval()


def transform(directory: str | Path) -> Callable[[Any], Tensor]:
    """Return what turns a PIL image or a tensor (C, H, W) into the network's input.

    Args:
        directory: a folder written by `emit`.

    Returns:
        A torchvision transform: image -> (in_chans, resolution, resolution) float32, normalised.

    Raises:
        UserError: a missing or broken preprocessing.json.
    """
    import torch
    from torchvision.transforms import InterpolationMode, v2

    facts = read_preprocessing(directory)
    return v2.Compose(  # type: ignore[no-any-return]
        [
            v2.ToImage(),
            v2.Grayscale(1) if facts.in_chans == 1 else v2.RGB(),
            v2.Resize(facts.resize, interpolation=InterpolationMode(facts.interpolation), antialias=True),
            v2.CenterCrop(facts.resolution),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(facts.mean), list(facts.std)),
        ]
    )
