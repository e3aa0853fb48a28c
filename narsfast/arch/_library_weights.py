"""Weights that timm and torchvision publish: what they say of them, and where they lie on this machine."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlparse

import torch
from torch import Tensor

from narsfast.common.images import Interpolation
from narsfast.common.preparation import Preparation
from narsfast.errors import UserError

# torchvision changes the normalization of the images inside these networks when it loads their weights; as fresh
# networks they do not, and are given images that are normalized so at once.
_NORMALIZED_INSIDE = ("googlenet", "inception_v3")
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
"""Names of the tensors of their auxiliary classifiers, which only help a training from scratch."""
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)$")


@dataclass(frozen=True)
class Published:
    """Weights that a library publishes.

    Attributes:
        network: Name of the network in the library.
        tag: Name of the weights, of which a network may have several.
        resolution: Side of the images, pixels.
        preparation: Of the images.
        url: Where the library gets them from.
        license: As the library states it; None where it states none.
        cached: The file, where it has been downloaded before.
    """

    network: str
    tag: str
    resolution: int
    preparation: Preparation
    url: str
    license: str | None
    cached: Path | None


def published(library: str, name: str) -> Published:
    """Return what a library says of the weights ``NETWORK`` or ``NETWORK.TAG``; without a tag, its usual ones.

    Raises:
        UserError: The library is not installed, or has no such network or no weights of it.
    """
    return _of_timm(name) if library == "timm" else _of_torchvision(name)


def download(library: str, name: str) -> dict[str, Tensor]:
    """Return the tensors of published weights, by the library's names; it downloads them into its cache if needed.

    Raises:
        UserError: They cannot be had here and now.
    """
    reference = f"{library}:{name}"
    try:
        # Both draw fresh weights first, and tell of downloads on stdout, where narsfast writes results.
        with torch.random.fork_rng(devices=[]), redirect_stdout(sys.stderr):
            found = _timm_tensors(name) if library == "timm" else _torchvision_tensors(name)
    except (
        Exception
    ) as error:  # of connections, certificates, disks, hashes: each library raises its own kinds
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        if (cached := published(library, name).cached) is not None:
            raise UserError(
                f"the weights of {reference} in {cached} cannot be loaded ({type(error).__name__}: {reason}); remove "
                "the file, so that they are downloaded again"
            ) from None
        raise UserError(
            f"the weights of {reference} could not be downloaded ({type(error).__name__}: {reason}); try again "
            f"online, or give a file of them: {reference}=FILE"
        ) from None
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in found.items()}


def require_timm() -> Any:
    """Import timm.

    Raises:
        UserError: It is not installed.
    """
    try:
        import timm
    except ImportError:
        raise UserError("a network of timm needs timm; `pip install timm` adds it") from None
    return timm


def _of_timm(name: str) -> Published:
    timm = require_timm()
    network = name.partition(".")[0]
    if not timm.is_model(network):
        raise UserError(f"model timm:{network} is not known; `timm.list_models()` lists them")
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError:
        raise UserError(
            f"timm:{network} has no weights {name.partition('.')[2]!r}; "
            f"`timm.list_pretrained('{network}')` lists them"
        ) from None
    if config is None or not config.has_weights:
        raise UserError(
            f"timm has no weights of {name}; `timm.list_pretrained()` lists networks with weights"
        )
    return Published(
        network=network,
        tag=config.tag,
        resolution=int(config.input_size[-1]),
        preparation=timm_preparation(config.to_dict()),
        url=f"huggingface.co/{config.hf_hub_id}" if config.hf_hub_id else str(config.url),
        license=config.license,
        cached=_cached_by_timm(config),
    )


def timm_preparation(config: Mapping[str, Any]) -> Preparation:
    """Return the preparation that a configuration of timm states; its other filters than bilinear become bicubic."""
    filter_name = "bilinear" if config.get("interpolation") == "bilinear" else "bicubic"
    return Preparation(
        tuple(map(float, config["mean"])),
        tuple(map(float, config["std"])),
        cast(Interpolation, filter_name),
        min(1.0, float(config["crop_pct"])),
    )


def _cached_by_timm(config: Any) -> Path | None:
    """Return the file in the cache of the Hugging Face hub, where timm finds most weights."""
    if not config.hf_hub_id:
        return _in_torch_cache(config.url)
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    for file in ("model.safetensors", "pytorch_model.bin"):
        found = try_to_load_from_cache(config.hf_hub_id, config.hf_hub_filename or file)
        if isinstance(found, str):
            return Path(found)
    return None


def _timm_tensors(name: str) -> dict[str, Tensor]:
    network = require_timm().create_model(name, pretrained=True)
    found: dict[str, Tensor] = network.state_dict()
    return found


def _of_torchvision(name: str) -> Published:
    from torchvision import models

    network, _, tag = name.partition(".")
    if network not in models.list_models(module=models):
        raise UserError(
            f"model torchvision:{network} is not a known classifier; `torchvision.models.list_models("
            "module=torchvision.models)` lists them"
        )
    kinds = models.get_model_weights(network)
    if not len(kinds):
        raise UserError(f"torchvision has no weights of {network}; name another network")
    if tag and tag not in kinds.__members__:
        raise UserError(
            f"torchvision:{network} has no weights {tag!r}; it has {', '.join(kinds.__members__)}"
        )
    weights = kinds[tag] if tag else kinds["DEFAULT"]
    transform = weights.transforms()
    side, resized = int(transform.crop_size[0]), int(transform.resize_size[0])
    mean, std = tuple(map(float, transform.mean)), tuple(map(float, transform.std))
    if network in _NORMALIZED_INSIDE:
        mean = std = (0.5,) * 3
    return Published(
        network=network,
        tag=weights.name,
        resolution=side,
        preparation=Preparation(
            mean, std, cast(Interpolation, str(transform.interpolation.value)), min(1.0, side / resized)
        ),
        url=weights.url,
        license=None,
        cached=_in_torch_cache(weights.url),
    )


def _torchvision_tensors(name: str) -> dict[str, Tensor]:
    from torchvision import models

    network, _, tag = name.partition(".")
    kinds = models.get_model_weights(network)
    weights = kinds[tag] if tag else kinds["DEFAULT"]
    state: dict[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    return torchvision_tensors(network, state)


def torchvision_tensors(network: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a file of torchvision by the names of a fresh network, as torchvision itself loads them.

    The names of DenseNet's files are older ones; the auxiliary classifiers of Inception networks are not built.
    """
    dropped = _AUXILIARY if network in _NORMALIZED_INSIDE else ()
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(dropped)}
    if not network.startswith("densenet"):
        return kept
    return {_OLD_DENSENET.sub(r"\1\2", name): tensor for name, tensor in kept.items()}


def _in_torch_cache(url: str) -> Path | None:
    """Return the file of a URL in torch's cache."""
    if not url:
        return None
    file = Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(url).path).name)
    return file if file.is_file() else None
