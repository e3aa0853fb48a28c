"""1x1 convolutions of small maps as matrix products."""

import torch
from torch import Tensor, nn
from torch.nn import functional

MAX_PIXELS = 2048
"""The most pixels of a batch for which the product is faster (measured on x86-64 with oneDNN; this project's choice): a
convolution of few pixels spends its time on the layout of its weights."""

_is_exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)  # from torch 2.7


def pointwise(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Compute `conv(x)`, faster for a 1x1 convolution of stride 1 without bias or groups.

    Args:
        conv: The convolution; any other kind is run as it is.
        x: (n, c, h, w), channels_last.
    """
    pixels = x.shape[0] * x.shape[2] * x.shape[3]
    plain = conv.kernel_size == (1, 1) and conv.stride == (1, 1) and conv.padding == (0, 0)
    plain = plain and conv.groups == 1 and conv.bias is None
    # An exported program may be for any number of pixels.
    fits = plain and not _is_exporting() and 0 < pixels <= MAX_PIXELS
    if not fits or not x.is_contiguous(memory_format=torch.channels_last):
        result: Tensor = conv(x)
        return result
    rows = functional.linear(x.permute(0, 2, 3, 1), conv.weight.flatten(1))
    return rows.permute(0, 3, 1, 2)
