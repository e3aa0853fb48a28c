"""Running statistics of batch norms in short trainings."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class RunningStatistics:
    """Keeps the initial values (0 and 1) of running statistics out of what a network is evaluated with.

    At step t (from 0) every batch norm moves by max(m, 1 / (t + 1)) with m its own momentum: the plain average of the
    steps so far, until these are 1 / m. With torch's default, 0.1, that is ten steps; with the 0.01 of torchvision's
    MobileNetV3 a hundred, without which some hundred steps more would be evaluated with the initial values, and a
    short training would show a constant guess's accuracy. This project's choice, as of the averaged weights.
    """

    def __init__(self, network: nn.Module) -> None:
        self._norms = [
            (module, module.momentum)
            for module in network.modules()
            if isinstance(module, _BatchNorm) and module.momentum is not None
        ]

    def at(self, step: int) -> None:
        """Sets the momentum of a step."""
        for module, momentum in self._norms:
            module.momentum = max(momentum, 1 / (step + 1))

    def restore(self) -> None:
        """Gives each batch norm its own momentum back."""
        for module, momentum in self._norms:
            module.momentum = momentum
