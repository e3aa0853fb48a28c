"""Mean and standard deviation of the pixels that training sees."""

from __future__ import annotations

import numpy as np

from ._dataset import Images

_IMAGES = 2048  # that mean and std are taken from, at most (this project's choice)
_READ = 64  # images read at a time


def pixel_statistics(images: Images, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel, 0..1, over at most 2,048 of the images, evenly spread.

    Args:
        images: Of the training split.
        channels: 1 (gray) or 3 (RGB).

    Returns:
        (channels,) mean and (channels,) standard deviation, to 4 places.
    """
    count = len(images.sizes)
    chosen = np.linspace(0, count - 1, min(count, _IMAGES)).astype(np.int64)
    total, squares, pixels = np.zeros(channels), np.zeros(channels), 0
    for start in range(0, len(chosen), _READ):
        for image in images.read(chosen[start : start + _READ]):
            values = np.asarray(image, dtype=np.float32).reshape(-1, channels) / 255.0
            total += values.sum(axis=0, dtype=np.float64)
            squares += np.square(values).sum(axis=0, dtype=np.float64)
            pixels += len(values)
    mean = total / pixels
    std = np.sqrt(np.maximum(squares / pixels - mean**2, 1e-6))
    return tuple(round(float(v), 4) for v in mean), tuple(round(float(v), 4) for v in std)
