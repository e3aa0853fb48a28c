"""Decoding image files: once into memory while they fit, again at each reading beyond that."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from narsfast.errors import UserError

from ._dataset import CachedImages, Images, Skipped

CACHE_BYTES = 2**30
"""Decoded images of one data set that are kept in memory, per process (this project's choice: 1 GiB)."""

KEPT_SIDE = 1.5
"""Short side kept of a larger image, as a multiple of the largest resolution (this project's choice).

Training crops below two thirds of the side are enlarged a little, everything else is never enlarged.
"""


def decode(path: Path, mode: str, short_side: int) -> NDArray[np.uint8]:
    """Decode one image file.

    Args:
        path: Any file that Pillow can read.
        mode: ``L`` or ``RGB``.
        short_side: A larger image is shrunk to this short side in pixels; JPEGs are already decoded smaller.

    Returns:
        (height, width) or (height, width, 3) uint8.

    Raises:
        ValueError: The value of white is not defined (floating-point pixels, integers beyond 16 bits).
        Exception: Whatever Pillow raises on a file that is broken or not an image.
    """
    with Image.open(path) as file:
        target = _smaller(file.size, short_side)
        if target is None:
            return np.asarray(eight_bit(file).convert(mode))
        file.draft(mode, target)
        return np.asarray(eight_bit(file).convert(mode).resize(target, Image.Resampling.BILINEAR))


def shrunk(image: Image.Image, short_side: int) -> Image.Image:
    """Shrink a larger image (mode ``L`` or ``RGB``) to this short side in pixels."""
    target = _smaller(image.size, short_side)
    return image if target is None else image.resize(target, Image.Resampling.BILINEAR)


def _smaller(size: tuple[int, int], short_side: int) -> tuple[int, int] | None:
    """Return the size that an image of `size` is shrunk to; None where its short side is not larger."""
    scale = short_side / min(size)
    return None if scale >= 1 else (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))


def eight_bit(image: Image.Image) -> Image.Image:
    """Convert gray pixels of more than 8 bits to 8 bits; return every other image as it is.

    Pillow's own conversion cuts such values off at 255. Here 16-bit pixels are divided by 256. 32-bit integers
    (which older releases of Pillow return for 16-bit PNGs too) count as 8-bit where none exceeds 255, else as 16-bit.

    Raises:
        ValueError: The value of white is not defined: floating-point pixels, or integers beyond 16 bits.
    """
    if image.mode == "F":
        raise ValueError("floating-point pixels are not supported (Pillow mode F): store 8 or 16 bits")
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image)
    lowest, highest = int(values.min()), int(values.max())
    if lowest < 0 or highest > 0xFFFF:
        raise ValueError(
            f"pixels from {lowest} to {highest} are not supported (Pillow mode {image.mode}): store 8 or 16 bits"
        )
    if image.mode != "I" or highest > 0xFF:
        values = values >> 8
    return Image.fromarray(values.astype(np.uint8))


def is_plain(content: bytes) -> bool:
    """Tell whether a file is a JPEG or PNG of 8 bits in gray or RGB, which every decoder reads the same way."""
    if content.startswith(b"\x89PNG"):
        return len(content) > 25 and content[24] == 8 and content[25] in (0, 2)
    place = 2
    while content.startswith(b"\xff\xd8") and place + 10 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker in (0xC0, 0xC1, 0xC2):  # start of frame: precision, height, width, components
            return content[place + 4] == 8 and content[place + 9] in (1, 3)
        place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return False


def as_ppm(pixels: NDArray[np.uint8]) -> bytes:
    """Pack pixels (height, width) or (height, width, 3) uint8 as a file of the PNM family, which is not compressed."""
    kind = b"P5" if pixels.ndim == 2 else b"P6"
    return b"%s %d %d 255\n%s" % (kind, pixels.shape[1], pixels.shape[0], pixels.tobytes())


class FileImages:
    """Images that are decoded at each reading, on as many threads as torch uses.

    Args:
        paths: n files, each of which could be decoded before.
        sizes: (n, 2) int64 heights and widths after decoding.
        mode: ``L`` or ``RGB``.
        short_side: As in `decode`.

    Attributes:
        by_pillow: Indices of the files that only Pillow decodes.
    """

    def __init__(self, paths: Sequence[Path], sizes: NDArray[np.int64], mode: str, short_side: int) -> None:
        self._paths = paths
        self._mode = mode
        self._short_side = short_side
        self.sizes = sizes
        self.by_pillow: set[int] = set()

    def encoded(self, indices: NDArray[np.int64]) -> list[NDArray[np.uint8]]:
        """Return the contents of the files at `indices` (b,), 1-d uint8, for another decoder.

        Files other than plain JPEG and PNG, which decoders read differently, are decoded here and packed as PPM.
        """
        contents = [self._content(i) for i in indices.tolist()]
        others = [place for place, content in enumerate(contents) if content is None]
        for place, image in zip(others, self._decoded(indices[others]), strict=True):
            contents[place] = as_ppm(image)
        return [np.frombuffer(content, np.uint8) for content in contents if content is not None]

    def _content(self, index: int) -> bytes | None:
        """Return the content of a plain file, None of another; reading it is faster than starting a thread for it."""
        if index in self.by_pillow:
            return None
        try:
            with open(self._paths[index], "rb", buffering=0) as file:
                content = file.read()
        except OSError as error:
            raise self._unreadable(index, error) from None
        if is_plain(content):
            return content
        self.by_pillow.add(index)
        return None

    def leave_to_pillow(self, index: int) -> Path:
        """Have `encoded` decode this file by Pillow from now on; return its path."""
        self.by_pillow.add(index)
        return self._paths[index]

    def read(self, indices: NDArray[np.int64]) -> list[Image.Image]:
        """Return the images at `indices` (b,)."""
        return [Image.fromarray(pixels) for pixels in self._decoded(indices)]

    def _decoded(self, indices: NDArray[np.int64]) -> list[NDArray[np.uint8]]:
        if not len(indices):
            return []
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            return list(pool.map(self._decode, indices))

    def _decode(self, index: int) -> NDArray[np.uint8]:
        try:
            return decode(self._paths[index], self._mode, self._short_side)
        except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises on broken files
            raise self._unreadable(index, error) from None

    def _unreadable(self, index: int, error: Exception) -> UserError:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        return UserError(
            f"{self._paths[index]} could be read at first and cannot be read now ({reason}); restore it"
        )


class Decoded:
    """Every file of a folder, decoded once to find out whether it can be.

    Attributes:
        paths: The readable files.
        good: (m,) int64 indices of `paths` among the files given.
        sizes: (m, 2) int64 heights and widths after decoding.
        pixels: The m images, or None where they are more than `cache_bytes`.
        skipped: The other files.
    """

    def __init__(
        self, files: Sequence[Path], root: Path, mode: str, short_side: int, cache_bytes: int = CACHE_BYTES
    ) -> None:
        self._mode = mode
        self._short_side = short_side
        self.skipped: list[Skipped] = []
        self.pixels: list[NDArray[np.uint8]] | None = []
        good: list[int] = []
        sizes: list[tuple[int, int]] = []
        used = 0
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            chunk = 256  # bounds what is decoded ahead of its turn
            for start in range(0, len(files), chunk):
                results = list(pool.map(self._attempt, files[start : start + chunk]))
                for index, result in enumerate(results, start):
                    if isinstance(result, str):
                        self.skipped.append(Skipped(str(files[index].relative_to(root)), result))
                        continue
                    good.append(index)
                    sizes.append((result.shape[0], result.shape[1]))
                    used += result.nbytes
                    if self.pixels is not None:
                        self.pixels.append(result)
                    if used > cache_bytes:
                        self.pixels = None
        self.good = np.array(good, dtype=np.int64)
        self.paths = [files[i] for i in good]
        self.sizes = np.array(sizes, dtype=np.int64).reshape(-1, 2)

    def _attempt(self, path: Path) -> NDArray[np.uint8] | str:
        try:
            return decode(path, self._mode, self._short_side)
        except MemoryError:
            raise
        except Exception as error:  # Pillow's decoders raise many types on a broken file
            text = str(error).replace(repr(str(path)), "the file").splitlines()
            return text[0] if text and text[0] else type(error).__name__

    def part(self, indices: NDArray[np.int64]) -> Images:
        """Return the readable images at `indices` (positions in `paths`)."""
        if self.pixels is not None:
            return CachedImages([self.pixels[i] for i in indices])
        return FileImages([self.paths[i] for i in indices], self.sizes[indices], self._mode, self._short_side)
