"""Statistics of any torch network."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from narsfast.arch import Network, NetworkSpec
from narsfast.errors import UserError

from ._statistics import STATISTICS, count_definitions


def count_network(network: nn.Module, in_chans: int, resolution: int, num_classes: int) -> dict[str, int]:
    """Count the statistics of one forward pass of one image in evaluation mode.

    Args:
        network: A network on the CPU or the meta device; it is not changed. A narsfast network is counted from its
            rows, with padding "published".
        in_chans: Channels of the images.
        resolution: Side of the images, pixels.
        num_classes: Outputs of the classifier.

    Returns:
        All STATISTICS of a narsfast network; of any other ``macs`` (half of what torch's FlopCounterMode counts:
        convolutions and matrix products) and ``params``.

    Raises:
        UserError: The output does not have the shape (1, num_classes).
    """
    training = network.training
    fast_attention = torch.backends.mha.get_fastpath_enabled()
    network.eval()
    # FlopCounterMode counts the matrix products of attention, but not the fused operators for it.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            logits = network(torch.zeros(1, in_chans, resolution, resolution, device=_device(network)))
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_attention)
        network.train(training)
    shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
    if shape != (1, num_classes):
        raise UserError(
            f"the network gives {shape} for one image; it should give logits of shape {(1, num_classes)}"
        )
    if isinstance(network, Network):
        definition = network.definition.model_copy(update={"resolution": resolution})
        counted = count_definitions([definition], in_chans, num_classes)[0].tolist()
        return dict(zip(STATISTICS, counted, strict=True))
    params = sum(parameter.numel() for parameter in network.parameters())
    return {"macs": counter.get_total_flops() // 2, "params": params}


def _device(network: nn.Module) -> torch.device | None:
    return next((parameter.device for parameter in network.parameters()), None)


def count_whole(spec: NetworkSpec, in_chans: int, num_classes: int) -> list[int]:
    """Count all STATISTICS of a network that is no definition, as nearly as modules show them.

    ``macs`` and ``params`` are those of `count_network`. The others are of convolutions and linear layers:
    ``activations`` the elements of their outputs, ``depth`` their number, ``peak_memory`` four times the largest input
    and output of one (shortcuts are not seen), ``params_published`` their weights; ``flops_published`` is ``macs``.

    Raises:
        UserError: There is no such network, it does not give logits, or it cannot take images of the resolution.
    """
    try:
        return _count_whole(spec.outline(num_classes, in_chans), spec, in_chans, num_classes)
    except UserError:
        raise
    except Exception as error:  # whatever a network raises on a size that it cannot take
        side = spec.resolution
        reason = str(error).splitlines()[0] if str(error) else "no reason is given"
        raise UserError(
            f"{spec.name} cannot take images of {in_chans} x {side} x {side} ({type(error).__name__}: {reason}); give "
            "`fix` another resolution, or leave the network out"
        ) from None


def _count_whole(network: nn.Module, spec: NetworkSpec, in_chans: int, num_classes: int) -> list[int]:
    outputs: list[tuple[int, int]] = []
    weights = 0

    def see(module: nn.Module, given: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        outputs.append((given[0].numel(), output.numel()))

    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
            module.register_forward_hook(see)
            weights += module.weight.numel()
    counted = count_network(network, in_chans, spec.resolution, num_classes)
    values = {
        **counted,
        "flops_published": counted["macs"],
        "params_published": weights,
        "activations": sum(output for _, output in outputs),
        "peak_memory": 4 * max((sum(pair) for pair in outputs), default=0),
        "depth": len(outputs),
    }
    return [values[name] for name in STATISTICS]
