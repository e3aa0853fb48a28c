"""A network's weights in a few flat vectors, and their moving average."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

_ALIGNMENT = 16  # elements: every view starts on a 64-byte boundary, and vectors fill whole registers


class FlatWeights:
    """A network's parameters and float buffers in flat vectors, of which its tensors become views.

    A small network has some hundred small tensors, and an optimizer that visits each spends more time on calls than
    on arithmetic.

    Args:
        network: Changed in place: its tensors share memory afterwards (`state_dict` works as before).

    Attributes:
        decayed: One flat vector of the parameters with two and more dimensions (weights of convolutions and linear
            layers).
        plain: One of the other parameters (norms and biases).
        buffers: One of what is not trained: float buffers (running statistics of the norms) and frozen parameters.
    """

    def __init__(self, network: nn.Module) -> None:
        parameters: list[Tensor] = list(network.parameters())
        trained = [p for p in parameters if p.requires_grad]
        self._tensors = [p for p in trained if p.ndim > 1], [p for p in trained if p.ndim <= 1]
        kept = [*network.buffers(), *(p for p in parameters if not p.requires_grad)]
        device = parameters[0].device
        self.decayed, self.plain = (_flatten(tensors, device) for tensors in self._tensors)
        self.buffers = _flatten([tensor for tensor in kept if tensor.is_floating_point()], device)

    def vectors(self) -> list[Tensor]:
        """Return the three vectors."""
        return [self.decayed, self.plain, self.buffers]

    def groups(self, whole_tensors: bool = False) -> tuple[list[Tensor], list[Tensor]]:
        """Return what an optimizer steps, with and without weight decay: one vector each, or the network's tensors.

        Args:
            whole_tensors: Whether the optimizer treats each tensor as a whole, and so needs the network's tensors.
        """
        return self._tensors if whole_tensors else ([self.decayed], [self.plain])

    def gradients(self) -> list[Tensor]:
        """Return the gradients of the vectors that have one."""
        return [vector.grad for vector in (self.decayed, self.plain) if vector.grad is not None]

    def zero_grad(self) -> None:
        """Set all gradients to zero, in place."""
        for gradient in self.gradients():
            gradient.zero_()


@torch.no_grad()
def _flatten(tensors: list[Tensor], device: torch.device) -> Tensor:
    starts = []
    total = 0
    for tensor in tensors:
        start = -(-total // _ALIGNMENT) * _ALIGNMENT
        total = start + tensor.numel()
        starts.append(start)
    flat = torch.zeros(-(-total // _ALIGNMENT) * _ALIGNMENT, dtype=torch.float32, device=device)
    gradient = torch.zeros_like(flat) if any(tensor.requires_grad for tensor in tensors) else None
    for tensor, start in zip(tensors, starts, strict=True):
        order = torch.empty_like(tensor).stride()  # the tensor's own where it is dense, as in channels_last
        view = flat.as_strided(tensor.shape, order, start)
        view.copy_(tensor)
        tensor.data = view
        if gradient is not None:
            tensor.grad = gradient.as_strided(tensor.shape, order, start)
    flat.grad = gradient
    return flat


class MovingAverage:
    """Exponential moving average of weights and buffers.

    At step t (counted from 1) the average keeps the share ``min(decay, (1 + t) / (10 + t))`` of itself. The
    bound is this project's choice: without it a short training would be judged by its initial weights.

    Args:
        tensors: Tensors to average: parameters and float buffers, or the vectors of `FlatWeights`.
        decay: The largest share kept.

    Attributes:
        pairs: Each of `tensors` and its average, of the same shape and strides where the tensor is dense.
    """

    def __init__(self, tensors: Iterable[Tensor], decay: float) -> None:
        self.pairs = [(tensor, tensor.detach().clone()) for tensor in tensors]
        self._decay = decay
        self._steps = 0

    def advance(self) -> float:
        """Count a step whose weights the caller adds to the averages; return the share that these keep."""
        self._steps += 1
        return ema_decay(self._decay, self._steps)

    @torch.no_grad()
    def update(self) -> None:
        """Add the present weights to the average: once after each step of an optimizer that does not do it itself."""
        kept = self.advance()
        for tensor, average in self.pairs:
            average.lerp_(tensor, 1.0 - kept)

    def state_dict(self) -> dict[str, Any]:
        """Return the averages and the number of steps."""
        return {"averages": [average for _, average in self.pairs], "steps": self._steps}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` returned for the same tensors."""
        for (_, average), stored in zip(self.pairs, state["averages"], strict=True):
            average.copy_(stored)
        self._steps = state["steps"]

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the network's weights and the average."""
        for tensor, average in self.pairs:
            present = tensor.clone()
            tensor.copy_(average)
            average.copy_(present)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the network the averaged weights inside the block."""
        self.swap()
        try:
            yield
        finally:
            self.swap()


def ema_decay(decay: float, step: int) -> float:
    """Return the share of itself that the average keeps at `step`, counted from 1."""
    return min(decay, (1 + step) / (10 + step))
