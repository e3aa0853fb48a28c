"""Running statistics of batch norms in short trainings."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class RunningStatistics:
    """Keeps the initial values (0 and 1) of running statistics out of what a network is evaluated with.

    At step t (from 0) every batch norm moves by max(m, 1 / (t + 1)), where m is its own momentum: a plain average until
    1 / m steps are done. With torch's default of 0.1 these are ten steps, with the 0.01 of torchvision's MobileNetV3 a
    hundred. Otherwise networks would be evaluated with the initial values for some hundred steps more, and a short
    training would show the accuracy of a constant guess. This project's choice, as for the averaged weights.
    """

    def __init__(self, network: nn.Module) -> None:
        self._norms = [
            (module, module.momentum)
            for module in network.modules()
            if isinstance(module, _BatchNorm) and module.momentum is not None
        ]

    def at(self, step: int) -> None:
        """Set the momentum of a step."""
        for module, momentum in self._norms:
            module.momentum = max(momentum, 1 / (step + 1))

    def restore(self) -> None:
        """Give each batch norm its own momentum back."""
        for module, momentum in self._norms:
            module.momentum = momentum
