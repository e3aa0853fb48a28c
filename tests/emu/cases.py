"""Random inputs of the emulator's tests."""

from typing import NamedTuple

import torch


class Norm(NamedTuple):
    """As Norm of arguments.h; the vectors (channels,) float32."""

    weight: torch.Tensor
    bias: torch.Tensor
    mean: torch.Tensor
    var: torch.Tensor
    eps: float
    activation: str


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def norm_of(g, channels, activation):
    weight, var = torch.rand(2, channels, generator=g) + 0.5
    bias, mean = torch.randn(2, channels, generator=g)
    return Norm(weight, bias, mean, var, 0.01, activation)


def excite_of(g, channels, squeezed, activation="hard_swish", gate="hard_sigmoid"):
    def draw(*shape):
        return torch.randn(*shape, generator=g) / shape[-1] ** 0.5

    weights = draw(squeezed, channels), draw(squeezed), draw(channels, squeezed), draw(channels)
    return *weights, activation, gate


def map_of(g, shape, dtype):
    return torch.randn(*shape, generator=g).to(dtype)


# kernel, stride, padding, (n, h, w, c): odd sizes, single rows and columns, channels beside the vectors' widths,
# several tiles and strips, windows larger than the map, padding that differs between the sides.
WINDOWS = [
    (3, 1, 1, (2, 7, 9, 8)),
    (3, 2, 1, (2, 7, 9, 40)),
    (3, 1, 0, (1, 5, 4, 5)),
    (3, 2, 0, (1, 8, 3, 33)),
    (5, 1, 2, (2, 6, 35, 16)),
    (5, 2, 2, (3, 9, 8, 24)),
    (5, 1, 1, (1, 34, 4, 7)),
    (5, 2, 1, (1, 37, 36, 3)),
    (7, 1, 3, (1, 40, 6, 12)),
    (7, 2, 3, (2, 11, 13, 36)),
    (7, 2, 1, (1, 7, 33, 1)),
    (3, 1, 1, (2, 1, 1, 8)),
    (7, 1, 3, (1, 1, 5, 4)),
    (5, 2, 5, (1, 3, 2, 8)),
    (3, 1, 1, (0, 4, 4, 8)),
    (3, 2, (0, 1, 0, 1), (2, 8, 34, 8)),
    (5, 2, (1, 2, 2, 2), (1, 36, 9, 20)),
    (7, 2, (3, 3, 2, 3), (2, 7, 10, 5)),
    (5, 1, (0, 4, 3, 0), (1, 6, 7, 16)),
    (3, 2, (1, 0, 1, 0), (2, 9, 6, 3)),
]
