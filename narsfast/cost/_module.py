"""Statistics of a built network: an independent count by hooks during one forward pass."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from narsfast.arch import FusedResidual, InvertedResidual, Network, plain_ops


def count_module(network: Network) -> NDArray[np.int64]:
    """Count the statistics of a built network for one image, (7,) int64, columns as STATISTICS.

    Shapes are observed as the layers run, on the network's own device; on the meta device nothing is computed. The
    network is not changed.
    """
    recorder = _Recorder()
    training = network.training
    handles = recorder.attach(network)
    try:
        stem = network.get_parameter("stem.0.weight")
        side = network.definition.resolution
        network.eval()
        with torch.no_grad(), plain_ops(network):
            network(torch.zeros(1, stem.shape[1], side, side, device=stem.device, dtype=stem.dtype))
    finally:
        network.train(training)
        for handle in handles:
            handle.remove()
    # The published count includes one more pool, over the head's 1x1 map, which this network does not have.
    pooled = recorder.pooled + (network.definition.head_features or 0)
    params = sum(parameter.numel() for parameter in network.parameters())
    columns = [recorder.macs, recorder.macs + pooled, params, recorder.weights]
    columns += [recorder.activations, 4 * recorder.peak, recorder.depth]
    return np.array(columns, np.int64)


class _Recorder:
    """Totals of all layers that the hooks have observed."""

    def __init__(self) -> None:
        self.macs = self.pooled = self.weights = self.activations = self.peak = self.depth = 0
        self._shortcut: Tensor | None = None

    def attach(self, network: nn.Module) -> list[Any]:
        """Attach hooks to every counted layer, and to blocks, whose shortcuts stay in memory; return the handles."""
        hooks: list[tuple[type[nn.Module], Callable[..., None]]] = [
            (nn.Conv2d, self._conv),
            (nn.Linear, self._linear),
            (nn.AdaptiveAvgPool2d, self._pool),
        ]
        handles: list[Any] = []
        for module in network.modules():
            if isinstance(module, InvertedResidual | FusedResidual):
                handles.append(module.register_forward_pre_hook(self._enter_block))
                handles.append(module.register_forward_hook(self._leave_block))
            for kind, hook in hooks:
                if isinstance(module, kind):
                    handles.append(module.register_forward_hook(hook))
        return handles

    def _enter_block(self, block: InvertedResidual | FusedResidual, inputs: tuple[Tensor]) -> None:
        self._shortcut = inputs[0] if block.shortcut else None

    def _leave_block(
        self, block: InvertedResidual | FusedResidual, inputs: tuple[Tensor], output: Tensor
    ) -> None:
        self._shortcut = None

    def _conv(self, layer: nn.Conv2d, inputs: tuple[Tensor], output: Tensor) -> None:
        weights = layer.weight.numel()
        alive = inputs[0].numel() + output.numel()
        if self._shortcut is not None and self._shortcut is not inputs[0]:
            alive += self._shortcut.numel()
        self.macs += weights // layer.out_channels * output.numel()
        self.weights += weights
        self.activations += output.numel()
        self.peak = max(self.peak, alive)
        self.depth += 1

    def _linear(self, layer: nn.Linear, inputs: tuple[Tensor], output: Tensor) -> None:
        self.macs += layer.in_features * output.numel()
        self.weights += layer.weight.numel()

    def _pool(self, layer: nn.AdaptiveAvgPool2d, inputs: tuple[Tensor], output: Tensor) -> None:
        self.pooled += inputs[0].numel()
