"""Torch networks built from definitions: classifiers, and backbones for detectors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

from torch import Tensor, nn

from narsfast.errors import UserError
from narsfast.ops import set_ops

from ._blocks import ConvNorm, Head, build_block, initialize
from ._definition import Definition, Padding, check_padding, read_definition
from ._plan import blocks_of, default_padding, head_of
from ._zoo import zoo_definition

FEATURE_STRIDES = (4, 8, 16, 32)
"""Strides of the feature maps that a `FeatureNetwork` returns."""


class FeatureInfo(NamedTuple):
    """A map for detectors: the last one at its stride."""

    channels: int
    stride: int
    module: str
    """Name of the block that computes it, as in `named_modules`."""


class Trunk(nn.Module):
    """Stem and stages of a definition.

    Attributes:
        definition: The definition of the network.
        feature_info: The maps at strides 4 to 32, finest first.
    """

    def __init__(
        self,
        definition: Definition,
        in_chans: int,
        padding: Padding,
        drop_path: float,
        last_stride: int | None,
    ) -> None:
        super().__init__()
        self.definition = definition
        self.stem = ConvNorm(
            in_chans,
            definition.stem_channels,
            3,
            2,
            default_padding(definition, padding, 3),
            definition.act,
            definition.norm_eps,
        )
        self.stages = nn.Sequential()
        channels, stride = definition.stem_channels, 2
        taps: dict[int, FeatureInfo] = {}
        blocks = blocks_of(definition, padding)
        found: dict[int, nn.Sequential] = {}
        for index, block in enumerate(blocks):
            stride *= block.total_stride
            if last_stride is not None and stride > last_stride:
                break
            stage = found.setdefault(block.stage, nn.Sequential())
            stage.append(build_block(block, drop_path * index / max(1, len(blocks) - 1)))
            channels = block.channels
            taps[stride] = FeatureInfo(channels, stride, f"stages.{len(found) - 1}.{len(stage) - 1}")
        self.stages.extend(found.values())
        self.channels = channels
        self.feature_info = [taps[stride] for stride in FEATURE_STRIDES if stride in taps]

    def forward_features(self, x: Tensor) -> Tensor:
        """Map images (n, in_chans, H, W) to the last stage's map (n, channels, h, w)."""
        features: Tensor = self.stages(self.stem(x))
        return features


class Network(Trunk):
    """A classification network: images (n, in_chans, H, W) to logits (n, num_classes)."""

    def __init__(
        self,
        definition: Definition,
        num_classes: int = 1000,
        in_chans: int = 3,
        padding: Padding = "published",
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__(definition, in_chans, padding, drop_path, last_stride=None)
        self.head = Head(head_of(definition), num_classes, dropout)
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (n, in_chans, H, W) to logits (n, num_classes)."""
        logits: Tensor = self.head(self.forward_features(x))
        return logits


class FeatureNetwork(Trunk):
    """A backbone: images (n, in_chans, H, W) to the maps of `feature_info`, finest first.

    Its parameters have the same names as in `Network`, so that trained weights load with strict=False.
    """

    def __init__(
        self,
        definition: Definition,
        in_chans: int = 3,
        padding: Padding = "published",
        drop_path: float = 0.0,
    ) -> None:
        super().__init__(definition, in_chans, padding, drop_path, last_stride=FEATURE_STRIDES[-1])
        if not self.feature_info:
            raise UserError(f"definition {definition.name!r} has no map at stride 4, 8, 16 or 32")
        self._taps = frozenset(info.module for info in self.feature_info)
        initialize(self)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map images (n, in_chans, H, W) to one map (n, channels, h, w) per entry of `feature_info`."""
        x = self.stem(x)
        maps = []
        for i, stage in enumerate(self.stages):
            for j, block in enumerate(stage.children()):
                x = block(x)
                if f"stages.{i}.{j}" in self._taps:
                    maps.append(x)
        return maps


Source = str | Path | Mapping[str, Any] | Definition


def resolve_definition(source: Source) -> Definition:
    """Return a definition, given itself, a name of the zoo, the path of a .json file, or its fields.

    Raises:
        UserError: The name is unknown, the file unreadable, or a field wrong.
    """
    if isinstance(source, Definition):
        return source
    if isinstance(source, Mapping):
        return Definition.from_dict(source)
    if isinstance(source, Path) or (isinstance(source, str) and source.endswith(".json")):
        return read_definition(source)
    if isinstance(source, str):
        return zoo_definition(source)
    raise UserError(
        f"{source!r} is not an architecture; give a name of the zoo, a definition, or a .json file"
    )


@overload
def create(
    name_or_definition: Source,
    num_classes: int = ...,
    in_chans: int = ...,
    padding: str = ...,
    features_only: Literal[False] = ...,
    dropout: float = ...,
    drop_path: float = ...,
    ops: str = ...,
) -> Network: ...
@overload
def create(
    name_or_definition: Source,
    num_classes: int = ...,
    in_chans: int = ...,
    padding: str = ...,
    *,
    features_only: Literal[True],
    dropout: float = ...,
    drop_path: float = ...,
    ops: str = ...,
) -> FeatureNetwork: ...
def create(
    name_or_definition: Source,
    num_classes: int = 1000,
    in_chans: int = 3,
    padding: str = "published",
    features_only: bool = False,
    dropout: float = 0.0,
    drop_path: float = 0.0,
    ops: str = "fused",
) -> Network | FeatureNetwork:
    """Build a network with fresh weights (drawn from torch's global generator).

    Args:
        name_or_definition: A name of the zoo ("FBNetV3_B", "b"), a definition, its fields, or a .json file.
        num_classes: Outputs of the classifier.
        in_chans: Channels of the images.
        padding: "published" pads as the definition says, "half" by kernel // 2 everywhere (as timm does).
        features_only: Return a backbone without a head, whose output is the list of maps at strides 4 to 32.
        dropout: Rate before the classifier, in [0, 1).
        drop_path: Rate at which the last residual branch is dropped, in [0, 1); it grows linearly from 0 in the first
            block (this project's choice).
        ops: "fused" runs norms, activations, depthwise convolutions and squeeze-excite with this project's kernels
            where they support the input, "torch" with those of torch. The parameters are the same.

    Raises:
        UserError: The name is unknown, the definition wrong, or an argument out of range.
    """
    definition = resolve_definition(name_or_definition)
    mode = check_padding(padding)
    for field, count in (("num_classes", num_classes), ("in_chans", in_chans)):
        if count < 1:
            raise UserError(f"{field} is {count}; it should be at least 1")
    for field, rate in (("dropout", dropout), ("drop_path", drop_path)):
        if not 0 <= rate < 1:
            raise UserError(f"{field} is {rate}; it should be at least 0 and below 1")
    network = (
        FeatureNetwork(definition, in_chans, mode, drop_path)
        if features_only
        else Network(definition, num_classes, in_chans, mode, dropout, drop_path)
    )
    set_ops(network, ops)
    return network
