"""A network of an emitted folder as timm's users expect a model; needs the ``[timm]`` extra.

Its own weights by ``pretrained=True``, maps by ``features_only=True``, ``num_classes=0``, `reset_classifier` and so on.
The module timm_model.py of an emitted folder calls the two functions here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from narsfast.arch import (
    WEIGHTS_FILE,
    Definition,
    Network,
    Padding,
    check_padding,
    head_of,
    read_definition,
)
from narsfast.common.emitted import check_hashes, read_preprocessing
from narsfast.errors import UserError

_STEM = "stem.0.weight"


class TimmNetwork(Network):
    """A narsfast network with the attributes and methods of timm's models.

    Attributes:
        num_classes: Outputs of the classifier; 0: there is none, and the output are the features before it.
        num_features: Width of these features.
        head_hidden_size: The same.
    """

    def __init__(
        self,
        definition: Definition,
        padding: Padding,
        num_classes: int = 1000,
        in_chans: int = 3,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        global_pool: str = "avg",
    ) -> None:
        if global_pool != "avg":
            raise UserError(f"global_pool is {global_pool!r}; a narsfast network has 'avg' only")
        super().__init__(definition, max(num_classes, 1), in_chans, padding, drop_rate, drop_path_rate)
        maps = [{"num_chs": i.channels, "reduction": i.stride, "module": i.module} for i in self.feature_info]
        self.feature_info = maps  # type: ignore[assignment]
        self.num_features = self.head_hidden_size = head_of(definition).classified
        self.num_classes = num_classes
        if num_classes == 0:
            self.reset_classifier(0)

    def get_classifier(self) -> nn.Module:
        """Return the last layer."""
        return self.head.classifier

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the last layer by a new one; with 0 classes the output are the features before it."""
        if global_pool not in (None, "avg"):
            raise UserError(f"global_pool is {global_pool!r}; a narsfast network has 'avg' only")
        self.num_classes = num_classes
        layer = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        self.head.classifier = layer.to(self.get_parameter(_STEM).device)  # type: ignore[assignment]

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Map the last stage's map to logits, or with `pre_logits` to the features before the classifier."""
        result: Tensor = self.head.pooled(x) if pre_logits else self.head(x)
        return result

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return how timm groups parameters into layers."""
        blocks = r"^stages\.(\d+)" if coarse else r"^stages\.(\d+)\.(\d+)"
        return {"stem": r"^stem", "blocks": blocks}


def timm_config(folder: str | Path) -> dict[str, Any]:
    """Return the configuration of a folder's network as timm keeps it: its weights, images and classes.

    Args:
        folder: An emitted folder.

    Raises:
        UserError: A file is missing or broken.
    """
    folder = Path(folder)
    facts = read_preprocessing(folder)
    side = facts.resolution
    return {
        "file": str(folder / WEIGHTS_FILE),
        "num_classes": len(facts.classes),
        "input_size": (facts.in_chans, side, side),
        "crop_pct": side / facts.resize,
        "interpolation": facts.interpolation,
        "mean": facts.mean,
        "std": facts.std,
        "classifier": "head.classifier",
        "label_names": facts.classes,
        "pool_size": None,
    }


def timm_network(folder: str | Path, name: str, pretrained: bool, options: Mapping[str, Any]) -> nn.Module:
    """Build the network of a folder as `timm.create_model` asks for it.

    Args:
        folder: An emitted folder.
        name: The name under which it is registered.
        pretrained: Load the folder's weights. Another number of classes gets a new classifier, and other channels the
            sum over the stem's channels, distributed.
        options: What `timm.create_model` was given beside.

    Raises:
        UserError: A file is missing, broken, or not the one that was emitted.
        TypeError: An option is unknown.
    """
    from timm.models import build_model_with_cfg

    folder = Path(folder)
    definition, padding = read_definition(folder / "definition.json"), read_preprocessing(folder).padding
    if pretrained:
        check_hashes(folder, ("definition.json", "preprocessing.json", WEIGHTS_FILE))
    mode = check_padding(padding)
    with torch.device("meta"):
        taps = len(Network(definition, 1, padding=mode).feature_info)
    network: nn.Module = build_model_with_cfg(
        lambda **given: TimmNetwork(definition, mode, **given),
        name,
        pretrained,
        feature_cfg={"feature_cls": "hook", "out_indices": tuple(range(taps))},
        pretrained_filter_fn=_fitting_channels,
        **options,
    )
    return network


def _fitting_channels(weights: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Distribute the sum over the stem's channels over those of `network`, where they are others."""
    wanted = network.get_parameter(_STEM).shape[1]
    stem = weights[_STEM]
    if stem.shape[1] != wanted:
        weights = {**weights, _STEM: stem.sum(1, keepdim=True).expand(-1, wanted, -1, -1) / wanted}
    return weights
