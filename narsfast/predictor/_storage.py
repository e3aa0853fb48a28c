"""Predictors on disk: weights as safetensors, and a JSON schema that names their space."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from narsfast.common.files import replacing, write_file
from narsfast.cost import Counter
from narsfast.errors import UserError
from narsfast.space import Space

from ._checks import check_predictor
from ._fitting import Fitted
from ._inputs import Scaling, Statistics
from ._network import Layer
from ._predictor import Predictor
from ._pretraining import PretrainingReport
from ._validation import Deviation


class DamagedPredictorError(UserError):
    """The files of a predictor are not all there, or not as they were written."""


WEIGHTS = "predictor.safetensors"
SCHEMA = "predictor.json"
FORMAT = 2


def save_predictor(predictor: Predictor, directory: str | Path) -> None:
    """Write ``predictor.safetensors`` and then ``predictor.json`` (the schema); create the directory if needed.

    Each file is on the disk before it gets its name.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {
        "statistics.mean": torch.from_numpy(predictor.scaling.mean),
        "statistics.std": torch.from_numpy(predictor.scaling.std),
        "statistics.varies": torch.from_numpy(predictor.scaling.varies),
        **_named("encoder", predictor.encoder),
        **_named("proxy", predictor.proxy),
    }
    if predictor.fitted is not None:
        tensors["fitted.centre"] = predictor.fitted.center
        tensors["fitted.scale"] = predictor.fitted.scale
        tensors |= _named("fitted.encoder", predictor.fitted.encoder)
        tensors |= _named("fitted.head", predictor.fitted.head)
    with replacing(directory / WEIGHTS) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)
    counter = predictor.counter if isinstance(predictor.counter, Counter) else None
    schema = {
        "format": FORMAT,
        "space": {"fingerprint": predictor.space.fingerprint(), **predictor.space.to_dict()},
        "statistics": list(predictor.names),
        "in_chans": counter.in_chans if counter else None,
        "num_classes": counter.num_classes if counter else None,
        "members": predictor.members,
        "head_widths": list(predictor.head_widths),
        "unit": "percent",
        "deviation": asdict(predictor.deviation),
        "pretraining": predictor.pretraining.to_dict(),
        "trained": predictor.pretraining.trained,
        "validated": predictor.pretraining.validated,
    }
    write_file(directory / SCHEMA, json.dumps(schema, indent=2) + "\n")


def load_predictor(directory: str | Path, space: Space, counter: Statistics | None = None) -> Predictor:
    """Load a predictor that `save_predictor` wrote.

    Args:
        directory: The directory of the predictor.
        space: The space on which it is to be used.
        counter: Counter of the statistics; by default a `narsfast.cost.Counter` like that of the predictor.

    Raises:
        DamagedPredictorError: There is no predictor, or its files are damaged.
        UserError: It is for another space or other statistics.
    """
    directory = Path(directory)
    schema, tensors = _read(directory)
    try:
        predictor = _assembled(schema, tensors, _checked_counter(directory, schema, space, counter))
        check_predictor(predictor)
    except UserError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        said = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise DamagedPredictorError(
            f"the predictor in {directory} is damaged ({said}); pretrain another"
        ) from error
    return predictor


def _read(directory: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        schema = json.loads((directory / SCHEMA).read_text())
        tensors = load_file(directory / WEIGHTS)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DamagedPredictorError(
            f"{directory} does not contain a complete predictor ({error}); pretrain one"
        ) from error
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise DamagedPredictorError(
            f"the predictor in {directory} cannot be read ({error}); pretrain another"
        ) from error
    if not isinstance(schema, dict):
        raise DamagedPredictorError(
            f"the predictor in {directory} cannot be read ({SCHEMA} is no JSON object); pretrain another"
        )
    if schema.get("format") != FORMAT:
        raise UserError(
            f"the predictor in {directory} has format {schema.get('format')}; this version reads format {FORMAT}"
        )
    return schema, tensors


def _checked_counter(
    directory: Path, schema: Mapping[str, Any], space: Space, counter: Statistics | None
) -> Statistics:
    """Return the counter to use after checking that space and statistics are those of the predictor."""
    made_for = schema["space"]
    if made_for["fingerprint"] != space.fingerprint():
        raise UserError(
            f"the predictor in {directory} was made for space {made_for['name']!r} "
            f"({made_for['fingerprint']}), not for {space.name!r} ({space.fingerprint()}); "
            "use it with its own space, or pretrain another"
        )
    if counter is None:
        if schema["in_chans"] is None:
            raise UserError(
                f"the predictor in {directory} reads {schema['statistics']}, which narsfast cannot count; "
                "give the counter with which it was pretrained"
            )
        counter = Counter(space, schema["in_chans"], schema["num_classes"])
    if list(counter.names) != schema["statistics"]:
        raise UserError(
            f"the predictor in {directory} reads the statistics {schema['statistics']}, "
            f"not {list(counter.names)}; give the counter with which it was pretrained"
        )
    return counter


def _assembled(schema: Mapping[str, Any], tensors: Mapping[str, Tensor], counter: Statistics) -> Predictor:
    fitted = None
    if "fitted.centre" in tensors:
        fitted = Fitted(
            _layers("fitted.encoder", tensors),
            _layers("fitted.head", tensors),
            tensors["fitted.centre"],
            tensors["fitted.scale"],
        )
    scaling = [tensors[f"statistics.{part}"].numpy() for part in ("mean", "std", "varies")]
    return Predictor(
        counter,
        Scaling(*scaling),
        schema["members"],
        tuple(_layers("encoder", tensors)),
        tuple(_layers("proxy", tensors)),
        tuple(schema["head_widths"]),
        PretrainingReport.from_dict(schema["pretraining"], schema["trained"], schema["validated"]),
        fitted,
        Deviation(**schema["deviation"]),
    )


def _named(prefix: str, layers: Sequence[Layer]) -> dict[str, Tensor]:
    tensors = {}
    for number, (weight, bias) in enumerate(layers):
        tensors[f"{prefix}.{number}.weight"] = weight
        tensors[f"{prefix}.{number}.bias"] = bias
    return tensors


def _layers(prefix: str, tensors: Mapping[str, Tensor]) -> list[Layer]:
    layers: list[Layer] = []
    while (name := f"{prefix}.{len(layers)}") + ".weight" in tensors:
        layers.append((tensors[f"{name}.weight"], tensors[f"{name}.bias"]))
    return layers
