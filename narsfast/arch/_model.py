"""Networks that others wrote, by a reference: what a user already has, a baseline, a teacher."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from narsfast.errors import UserError
from narsfast.ops import set_ops

from ._network import Source, create

REFERENCES = "torchvision:NAME, timm:NAME, FILE.py:FACTORY, a name of the zoo, or a definition's .json file"


def create_model(
    source: Source,
    num_classes: int = 1000,
    in_chans: int = 3,
    dropout: float | None = None,
    drop_path: float | None = None,
    *,
    ops: str = "fused",
    padding: str = "published",
) -> nn.Module:
    """Build a network with fresh weights (drawn from torch's global generator).

    A first convolution that takes another number of channels is replaced by one for `in_chans`.

    Args:
        source: ``torchvision:NAME``, ``timm:NAME``, ``FILE.py:FACTORY`` (called with ``num_classes`` and
            ``in_chans``), a name of the zoo ("FBNetV3_B", "b"), a definition, its fields or its .json file.
        num_classes: outputs.
        in_chans: channels of the images.
        dropout: rate of every dropout layer, or before the last linear layer where there is none; None leaves the
            network's own.
        drop_path: rate of stochastic depth in its last layer, growing linearly from the first; None leaves the
            network's own.
        ops: path of a narsfast network's blocks: "fused" or "torch".
        padding: of a definition: "published" pads as it says, "half" by kernel // 2 everywhere (as timm does).

    Raises:
        UserError: no such network, a package is missing, or `drop_path` is above 0 for a network without.
    """
    if not isinstance(source, str) or ":" not in source:
        return create(
            source,
            num_classes,
            in_chans,
            padding,
            dropout=dropout or 0.0,
            drop_path=drop_path or 0.0,
            ops=ops,
        )
    network = _built(source, num_classes, in_chans, drop_path)
    _take_channels(network, in_chans)
    if dropout is not None:
        _set_dropout(network, dropout)
    if drop_path is not None:
        layers = _stochastic_depths(network)
        if drop_path > 0 and not layers:
            raise UserError(f"drop_path is {drop_path}; {source} has no stochastic depth, so fix drop_path=0")
        for index, layer in enumerate(layers):
            rate = drop_path * index / max(1, len(layers) - 1)
            setattr(layer, "drop_prob" if hasattr(layer, "drop_prob") else "p", rate)
    set_ops(network, ops)
    return network


def _built(reference: str, num_classes: int, in_chans: int, drop_path: float | None) -> nn.Module:
    source, _, name = reference.rpartition(":")
    if source == "torchvision":
        return _from_torchvision(name, num_classes)
    if source == "timm":
        return _from_timm(name, num_classes, in_chans, drop_path)
    if source.endswith(".py"):
        return _from_file(Path(source), name, num_classes, in_chans)
    raise UserError(f"model {reference!r} is not known; give {REFERENCES}")


def _from_torchvision(name: str, num_classes: int) -> nn.Module:
    from torchvision import models

    if name not in models.list_models(module=models):
        raise UserError(
            f"model torchvision:{name} is not a classifier that is known; `torchvision.models.list_models("
            "module=torchvision.models)` lists them"
        )
    options: dict[str, Any] = {"aux_logits": False} if name in ("googlenet", "inception_v3") else {}
    if options:
        options["init_weights"] = True
    network: nn.Module = models.get_model(name, weights=None, num_classes=num_classes, **options)
    return network


def _from_timm(name: str, num_classes: int, in_chans: int, drop_path: float | None) -> nn.Module:
    try:
        import timm
    except ImportError:
        raise UserError(f"model timm:{name} needs timm; `pip install timm` adds it") from None
    if not timm.is_model(name):
        raise UserError(f"model timm:{name} is not known; `timm.list_models()` lists them")
    options: dict[str, Any] = {"num_classes": num_classes, "in_chans": in_chans}
    if drop_path:  # without a rate, timm builds plain identities in place of stochastic depth
        try:
            network: nn.Module = timm.create_model(name, drop_path_rate=drop_path, **options)
        except TypeError:
            pass
        else:
            return network
    network = timm.create_model(name, **options)
    return network


def _from_file(file: Path, name: str, num_classes: int, in_chans: int) -> nn.Module:
    spec = importlib.util.spec_from_file_location(f"narsfast_model_{file.stem}", file)
    if spec is None or spec.loader is None or not file.is_file():
        raise UserError(f"model file {str(file)!r} is not there; give FILE.py:FACTORY")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        factory: Callable[..., Any] | None = getattr(module, name, None)
        if factory is None:
            raise UserError(f"model file {str(file)!r} has no {name!r}; give FILE.py:FACTORY")
        network = factory(num_classes=num_classes, in_chans=in_chans)
    except UserError:
        raise
    except Exception as error:  # whatever a user's file raises is the user's to mend
        raise UserError(f"model {file}:{name} fell over ({type(error).__name__}: {error})") from error
    if not isinstance(network, nn.Module):
        raise UserError(f"model {file}:{name} gave {type(network).__name__}; it must give a torch.nn.Module")
    return network


def _take_channels(network: nn.Module, in_chans: int) -> None:
    """Make the first convolution anew where it takes another number of channels."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            if module.in_channels == in_chans:
                return
            parent, _, attribute = name.rpartition(".")
            anew = nn.Conv2d(
                in_chans,
                module.out_channels,
                module.kernel_size,  # type: ignore[arg-type]
                module.stride,  # type: ignore[arg-type]
                module.padding,  # type: ignore[arg-type]
                module.dilation,  # type: ignore[arg-type]
                bias=module.bias is not None,
            )
            setattr(network.get_submodule(parent), attribute, anew)
            return


def _set_dropout(network: nn.Module, rate: float) -> None:
    layers = [module for module in network.modules() if isinstance(module, nn.Dropout)]
    for layer in layers:
        layer.p = rate
    if layers or not rate:
        return
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if linear:
        linear[-1].register_forward_pre_hook(_Dropout(rate))


class _Dropout:
    """Dropout before a layer, as a hook: the network's parameters keep their names."""

    def __init__(self, rate: float) -> None:
        self._rate = rate

    def __call__(self, layer: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        return (functional.dropout(inputs[0], self._rate, layer.training),)


def _stochastic_depths(network: nn.Module) -> list[nn.Module]:
    """Layers of stochastic depth, torchvision's or timm's, in the network's order."""
    return [
        module for module in network.modules() if type(module).__name__ in ("StochasticDepth", "DropPath")
    ]
