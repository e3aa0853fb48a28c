"""Networks by reference: torchvision, timm, factories in files, the zoo and definitions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from narsfast.common.modules import run_file
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

    A first convolution that expects another number of channels is replaced.

    Args:
        source: ``torchvision:NAME``, ``timm:NAME``, ``FILE.py:FACTORY`` (called with ``num_classes`` and
            ``in_chans``), a name of the zoo ("FBNetV3_B", "b"), a definition, its fields or its .json file.
        num_classes: Outputs of the classifier.
        in_chans: Channels of the images.
        dropout: Rate of every dropout layer, or before the last linear layer if there is none; None keeps the
            network's own rates.
        drop_path: Rate of stochastic depth in the last layer, growing linearly from 0 in the first; None keeps the
            network's own rates.
        ops: Implementation of a narsfast network's operators, "fused" or "torch".
        padding: Padding of a definition: "published" pads as it says, "half" by kernel // 2 everywhere (as timm does).

    Raises:
        UserError: There is no such network, a package is missing, or `drop_path` is above 0 for a network without
            stochastic depth.
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
            f"model torchvision:{name} is not a known classifier; `torchvision.models.list_models("
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
    if not file.is_file():
        raise UserError(f"model file {str(file)!r} does not exist; give FILE.py:FACTORY")
    try:
        factory: Callable[..., Any] | None = getattr(run_file(file), name, None)
        if factory is None:
            raise UserError(f"model file {str(file)!r} has no {name!r}; give FILE.py:FACTORY")
        network = factory(num_classes=num_classes, in_chans=in_chans)
    except UserError:
        raise
    except Exception as error:  # anything that a user's file raises must be fixed by the user
        raise UserError(
            f"model {file}:{name} failed ({type(error).__name__}: {error}); fix the file"
        ) from error
    if not isinstance(network, nn.Module):
        raise UserError(
            f"model {file}:{name} returned {type(network).__name__}; it must return a torch.nn.Module"
        )
    return network


def _take_channels(network: nn.Module, in_chans: int) -> None:
    """Replace the first convolution if it expects another number of channels."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            if module.in_channels == in_chans:
                return
            parent, _, attribute = name.rpartition(".")
            replacement = nn.Conv2d(
                in_chans,
                module.out_channels,
                module.kernel_size,  # type: ignore[arg-type]
                module.stride,  # type: ignore[arg-type]
                module.padding,  # type: ignore[arg-type]
                module.dilation,  # type: ignore[arg-type]
                bias=module.bias is not None,
            )
            setattr(network.get_submodule(parent), attribute, replacement)
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
    """Dropout before a layer, as a hook, so that the network's parameters keep their names."""

    def __init__(self, rate: float) -> None:
        self._rate = rate

    def __call__(self, layer: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        return (functional.dropout(inputs[0], self._rate, layer.training),)


def _stochastic_depths(network: nn.Module) -> list[nn.Module]:
    """Return the layers of stochastic depth, of torchvision or timm, in the order of the network."""
    return [
        module for module in network.modules() if type(module).__name__ in ("StochasticDepth", "DropPath")
    ]
