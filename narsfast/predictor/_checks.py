"""Whether a predictor that was read from files fits its space and itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from narsfast.space import Space, feature_width

from ._inputs import order_columns
from ._network import Layer
from ._predictor import Predictor


def check_predictor(predictor: Predictor) -> None:
    """Check shapes, types and that every number is finite.

    Raises:
        ValueError: Naming what does not fit.
    """
    members, statistics = predictor.members, len(predictor.names)
    _check_sizes(predictor)
    for name, array in (("mean", predictor.scaling.mean), ("std", predictor.scaling.std)):
        _check_tensor(f"statistics.{name}", torch.from_numpy(array), (statistics,))
    if not (predictor.scaling.std > 0).all():
        raise ValueError("statistics.std is not above 0")
    if predictor.scaling.varies.shape != (statistics,) or predictor.scaling.varies.dtype != np.bool_:
        raise ValueError(f"statistics.varies is not of {statistics} truth values")
    architecture = _width(predictor.space, "architecture")
    embedding = _check_layers("encoder", predictor.encoder, members, architecture) if predictor.encoder else 0
    if predictor.proxy:
        _check_layers("proxy", predictor.proxy, members, embedding)
    if predictor.fitted is not None:
        fitted = predictor.fitted
        if len(fitted.encoder) != len(predictor.encoder):
            raise ValueError("fitted.encoder has not the layers of the encoder")
        if fitted.encoder:
            embedding = _check_layers("fitted.encoder", fitted.encoder, members, architecture)
        direct = embedding + statistics + _width(predictor.space, "recipe")
        if not fitted.head or _check_layers("fitted.head", fitted.head, members, direct) != 1:
            raise ValueError("fitted.head has not one output")
        for name, tensor in (("centre", fitted.center), ("scale", fitted.scale)):
            _check_tensor(f"fitted.{name}", tensor, (members,))


def _check_sizes(predictor: Predictor) -> None:
    sizes = {"members": (predictor.members,), "head_widths": predictor.head_widths}
    for name, values in sizes.items():
        if not all(type(value) is int and value >= 1 for value in values):
            raise ValueError(f"{name} is not of whole numbers above 0")
    for name in ("scale", "floor"):
        value = getattr(predictor.deviation, name)
        if not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise ValueError(f"deviation.{name} is {value!r}")


def _width(space: Space, part: Literal["architecture", "recipe"]) -> int:
    """Return the number of inputs of a part: its features, and the ranks of its ordered fields."""
    features = sum(feature_width(field) for field in space.fields if field.part == part)
    return features + order_columns(space, part).shape[1]


def _check_layers(name: str, layers: Sequence[Layer], members: int, inputs: int) -> int:
    """Check layers that follow each other, and return the number of outputs of the last one."""
    for number, (weight, bias) in enumerate(layers):
        outputs = weight.shape[-1]
        _check_tensor(f"{name}.{number}.weight", weight, (members, inputs, outputs))
        _check_tensor(f"{name}.{number}.bias", bias, (members, outputs))
        inputs = outputs
    return inputs


def _check_tensor(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tensor.dtype != torch.float32 or tuple(tensor.shape) != shape:
        raise ValueError(
            f"{name} is {tensor.dtype} of shape {tuple(tensor.shape)}, not torch.float32 of shape {shape}"
        )
    if not bool(tensor.isfinite().all()):
        raise ValueError(f"{name} is not finite")
