"""A network's weights in a few flat vectors, and their moving average."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

_ALIGNMENT = 16  # elements: every view starts on a 64-byte boundary, and vectors fill whole registers


class Part(NamedTuple):
    """How some parameters are trained.

    Attributes:
        rate: Their learning rate as a multiple of the recipe's.
        frozen: Whether they do not change at first.
    """

    rate: float = 1.0
    frozen: bool = False


class FlatWeights:
    """A network's parameters and float buffers in flat vectors, of which its tensors become views.

    A small network has some hundred small tensors, and an optimizer that visits each spends more time on calls than
    on arithmetic.

    Args:
        network: Changed in place: its tensors share memory afterwards (`state_dict` works as before).
        parts: Part of parameters that are trained apart, by name; the others are one part.

    Attributes:
        decayed: For each part, a flat vector of the parameters with two and more dimensions (weights of convolutions
            and linear layers).
        plain: For each part, one of the other parameters (norms and biases).
        buffers: One of what is not trained: float buffers (running statistics of the norms) and parameters of a network
            that came without gradients.
        parts: Part of each vector and each parameter.
    """

    def __init__(self, network: nn.Module, parts: Mapping[str, Part] | None = None) -> None:
        named = dict(network.named_parameters())
        trained = {name: p for name, p in named.items() if p.requires_grad}
        part_of = {name: (parts or {}).get(name, Part()) for name in trained}
        present = dict.fromkeys(part_of.values()) or {Part(): None}
        device = next(iter(named.values())).device
        self.decayed: list[Tensor] = []
        self.plain: list[Tensor] = []
        self.parts: dict[Tensor, Part] = {}
        self._tensors: tuple[list[Tensor], list[Tensor]] = ([], [])
        self._frozen: list[tuple[Tensor, list[Tensor]]] = []
        for part in present:
            own: list[Tensor] = [p for name, p in trained.items() if part_of[name] == part]
            split = [p for p in own if p.ndim > 1], [p for p in own if p.ndim <= 1]
            for vectors, whole, tensors in zip((self.decayed, self.plain), self._tensors, split, strict=True):
                vector = _flatten(tensors, device)
                if tensors:
                    _add_gradients(vector, tensors)
                vectors.append(vector)
                whole.extend(tensors)
                self.parts |= dict.fromkeys((vector, *tensors), part)
                if part.frozen:
                    self._frozen.append((vector, tensors))
        kept = [*network.buffers(), *(p for p in named.values() if not p.requires_grad)]
        self.buffers = _flatten([tensor for tensor in kept if tensor.is_floating_point()], device)

    def vectors(self) -> list[Tensor]:
        """Return all vectors."""
        return [*self.trained(), self.buffers]

    def trained(self) -> list[Tensor]:
        """Return the vectors of parameters."""
        return [*self.decayed, *self.plain]

    def groups(self, whole_tensors: bool = False) -> tuple[list[Tensor], list[Tensor]]:
        """Return what an optimizer steps, with and without weight decay: vectors, or the network's tensors.

        Args:
            whole_tensors: Whether the optimizer treats each tensor as a whole, and so needs the network's tensors.
        """
        return self._tensors if whole_tensors else (self.decayed, self.plain)

    def gradients(self) -> list[Tensor]:
        """Return the gradients of the vectors that have one."""
        return [vector.grad for vector in self.trained() if vector.grad is not None]

    def zero_grad(self) -> None:
        """Set all gradients to zero, in place."""
        for gradient in self.gradients():
            gradient.zero_()

    def freeze(self) -> None:
        """Leave the frozen parts out of backward passes and of the steps of optimizers, which pass over them."""
        for vector, tensors in self._frozen:
            vector.grad = None
            for tensor in tensors:
                tensor.requires_grad_(False)
                tensor.grad = None

    def thaw(self) -> None:
        """Train the frozen parts like the others."""
        for vector, tensors in self._frozen:
            for tensor in tensors:
                tensor.requires_grad_(True)
            if tensors:
                _add_gradients(vector, tensors)


@torch.no_grad()
def _flatten(tensors: list[Tensor], device: torch.device) -> Tensor:
    """Move tensors into a new vector, each to a beginning of its own."""
    starts = []
    total = 0
    for tensor in tensors:
        start = -(-total // _ALIGNMENT) * _ALIGNMENT
        total = start + tensor.numel()
        starts.append(start)
    flat = torch.zeros(-(-total // _ALIGNMENT) * _ALIGNMENT, dtype=torch.float32, device=device)
    for tensor, start in zip(tensors, starts, strict=True):
        order = torch.empty_like(tensor).stride()  # the tensor's own where it is dense, as in channels_last
        view = flat.as_strided(tensor.shape, order, start)
        view.copy_(tensor)
        tensor.data = view
    return flat


def _add_gradients(flat: Tensor, tensors: list[Tensor]) -> None:
    """Give a vector a gradient of zeros, and the tensors in it views of that."""
    flat.grad = torch.zeros_like(flat)
    for tensor in tensors:
        tensor.grad = flat.grad.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())


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
