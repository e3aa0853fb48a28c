"""Decoding image files: once into memory while they fit, again at each reading beyond that."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from narsfast.common.images import Reading, bits_used, decoded, opened, read_image
from narsfast.common.machine import lasting
from narsfast.common.pillow_warnings import PillowWarnings, quietly
from narsfast.errors import MachineError, UserError

from ._content import DIGEST, digest_of
from ._dataset import CachedImages, Images
from ._folder_options import DEEPEST
from ._listing import Listing, Skipped, enumerated, shown

CACHE_BYTES = 2**30
"""Decoded images of one data set that are kept in memory, per process (this project's choice: 1 GiB)."""

_LARGE = 2**25  # pixels of a file: such are decoded one at a time, so that few of them do not take all memory
_AHEAD = 256  # files that are decoded ahead of their turn, at most
_PART = 16  # files that one thread is given at a time: handing over each one takes as long as a small file
_TINY = 4096  # bytes of the median file, below which a second thread costs more than it does (bench.reading)
_one_large = threading.Lock()
_OF_THE_FILE = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP)
_DARK = 128  # what a color image of 16 bits exceeds, unless its values have fewer bits


def is_plain(content: bytes) -> bool:
    """Tell whether a file is a JPEG or PNG of 8 bits in gray or RGB, which every decoder reads the same way."""
    if content.startswith(b"\x89PNG"):
        return len(content) > 25 and content[24] == 8 and content[25] in (0, 2) and b"eXIf" not in content
    place = 2
    while content.startswith(b"\xff\xd8") and place + 10 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker in (0xC0, 0xC1, 0xC2):  # start of frame: precision, height, width, components
            return content[place + 4] == 8 and content[place + 9] in (1, 3)
        length = int.from_bytes(content[place + 2 : place + 4], "big")
        if marker == 0xE1 and b"tiff:Orientation" in content[place : place + length]:  # XMP, which few read
            return False
        place += 2 + length
    return False


def as_ppm(pixels: NDArray[np.uint8]) -> bytes:
    """Pack pixels (height, width) or (height, width, 3) uint8 as a file of the PNM family, which is not compressed."""
    kind = b"P5" if pixels.ndim == 2 else b"P6"
    return b"%s %d %d 255\n%s" % (kind, pixels.shape[1], pixels.shape[0], pixels.tobytes())


class FileImages:
    """Images that are decoded at each reading, on as many threads as torch uses.

    Args:
        paths: N files, each of which could be decoded before.
        sizes: (n, 2) int64 heights and widths after decoding.
        stats: (n, 3) int64 of the files, as in `Listing.stats`.
        digests: (n, 16) uint8 of the files (`narsfast.data._content.digest_of`).
        channels: 1 (gray) or 3 (RGB).
        reading: How they are decoded.

    Attributes:
        by_pillow: Indices of the files that only Pillow decodes.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        sizes: NDArray[np.int64],
        stats: NDArray[np.int64],
        digests: NDArray[np.uint8],
        channels: int,
        reading: Reading,
    ) -> None:
        self._paths = paths
        self._stats = stats
        self._digests = digests
        self._channels = channels
        self._reading = reading
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
        content = self._whole(index)
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
            return list(pool.map(self._decode, indices.tolist()))

    def _decode(self, index: int) -> NDArray[np.uint8]:
        content = self._whole(index)
        try:
            return quietly(partial(read_image, content, self._channels, self._reading))
        except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises on broken files
            raise self._unreadable(index, str(error)) from None

    def _whole(self, index: int) -> bytes:
        """Read a file, which must be the one that was read at first.

        Raises:
            MachineError: It cannot be read now.
            UserError: It is another one.
        """
        try:
            with open(self._paths[index], "rb", buffering=0) as file:
                status = os.fstat(file.fileno())
                content = file.read()
        except OSError as error:
            raise self._unreadable(index, error.strerror or str(error), not lasting(error)) from None
        as_before = (status.st_size, status.st_mtime_ns) == tuple(self._stats[index, :2].tolist())
        if not as_before and digest_of(content) != bytes(self._digests[index]):
            raise UserError(
                f"data: {shown(self._paths[index])} has changed since it was read at first; restore it"
            )
        return content

    def _unreadable(self, index: int, reason: str, passing: bool = True) -> MachineError:
        return MachineError(
            f"data: {shown(self._paths[index])} could be read at first and cannot be read now ({reason})",
            "restore it",
            passing,
        )


@dataclass(frozen=True)
class _Read:
    """One file that was read.

    Attributes:
        pixels: (height, width) or (height, width, 3) uint8.
        digest: Of its content.
        bits: Of its gray values, None where they have 8 bits.
        lost: Whether it has colors of 16 bits, of which Pillow gives the upper 8.
    """

    pixels: NDArray[np.uint8]
    digest: bytes
    bits: int | None
    lost: bool


class Decoded:
    """Every listed file, decoded once to find out whether it can be.

    Args:
        listing: The files.
        channels: 1 (gray) or 3 (RGB).
        reading: How they are decoded.
        cache_bytes: Decoded bytes kept in memory, at most.
        digests: Of those files whose content is known, by their places.
        by_content: Whether the bit depth of gray pixels of more than 8 bits is that of the largest value in all files.

    Attributes:
        reading: How the files are decoded, with the bit depth by content.
        good: (m,) int64 indices of the readable files among those listed.
        sizes: (m, 2) int64 heights and widths after decoding.
        digests: (m, 16) uint8.
        pixels: The m images, or None where they are more than `cache_bytes`.
        bad: Why each of the other files was skipped, by its index.
        notes: Sentences on bit depths, and on what Pillow warned of.

    Raises:
        MachineError: The disk fails.
    """

    def __init__(
        self,
        listing: Listing,
        channels: int,
        reading: Reading,
        cache_bytes: int = CACHE_BYTES,
        digests: Mapping[int, bytes] | None = None,
        by_content: bool = False,
    ) -> None:
        self._listing = listing
        self._channels = channels
        self._known = digests or {}
        self.reading = reading
        self.bad: dict[int, Skipped] = {}
        self.notes: list[str] = []
        self.pixels: list[NDArray[np.uint8]] | None = []
        good: list[int] = []
        sizes: list[tuple[int, int]] = []
        found: list[bytes] = []
        bits: dict[int, int] = {}
        dark: list[tuple[int, int]] = []
        used = 0
        self._warnings = PillowWarnings()
        with self._warnings.collected(), ThreadPoolExecutor(_workers(listing)) as pool:
            for start in range(0, len(listing.names), _AHEAD):
                indices = range(start, min(start + _AHEAD, len(listing.names)))
                parts = [indices[place : place + _PART] for place in range(0, len(indices), _PART)]
                results = chain.from_iterable(pool.map(self._attempts, parts))
                for index, result in zip(indices, results, strict=True):
                    if isinstance(result, str):
                        self.bad[index] = Skipped(shown(listing.names[index]), result)
                        continue
                    if result.bits is not None:
                        bits[len(good)] = result.bits
                    if result.lost:
                        dark.append((index, int(result.pixels.max())))
                    good.append(index)
                    sizes.append((result.pixels.shape[0], result.pixels.shape[1]))
                    found.append(result.digest)
                    used += result.pixels.nbytes
                    if self.pixels is not None:
                        self.pixels.append(result.pixels)
                    if used > cache_bytes:
                        self.pixels = None
        self.good = np.array(good, dtype=np.int64)
        self.sizes = np.array(sizes, dtype=np.int64).reshape(-1, 2)
        self.digests = np.frombuffer(b"".join(found), np.uint8).reshape(-1, DIGEST)
        self._paths = [Path(listing.path(i)) for i in good]
        if by_content and bits:
            self._set_bit_depth(bits)
        self._note_dark(dark)
        self._note_warnings()

    def _attempts(self, indices: Sequence[int]) -> list[_Read | str]:
        return [self._attempt(index) for index in indices]

    def _attempt(self, index: int) -> _Read | str:
        path = self._listing.path(index)
        try:
            with open(path, "rb", buffering=0) as file:
                content = file.read()
        except OSError as error:
            if error.errno in _OF_THE_FILE:
                return error.strerror or str(error)
            raise MachineError(
                f"data: {shown(path)} cannot be read ({error.strerror})", "see to the disk"
            ) from None
        try:
            with self._warnings.of(index), opened(content) as image, _taking_turns(image):
                bits = bits_used(image)
                lost = bits is None and _has_deep_colors(image)
                pixels = decoded(image, self._channels, self.reading)
        except MemoryError:
            raise
        except Exception as error:  # Pillow's decoders raise many types on a broken file
            text = str(error).splitlines()
            return text[0] if text and text[0] else type(error).__name__
        return _Read(pixels, self._known.get(index) or digest_of(content), bits, lost)

    def _set_bit_depth(self, bits: Mapping[int, int]) -> None:
        """Take the smallest usual bit depth that holds every value, and decode the files again that it changes."""
        depth = usual_depth(max(bits.values()))
        if depth == DEEPEST:
            return
        self.reading = replace(self.reading, bit_depth=depth)
        self.notes.append(depth_note(f"{len(bits)} image(s)", depth))
        if self.pixels is not None:
            for place in bits:
                content = self._paths[place].read_bytes()
                self.pixels[place] = quietly(partial(read_image, content, self._channels, self.reading))

    def _note_dark(self, files: Sequence[tuple[int, int]]) -> None:
        """Name color images of 16 bits, if their values have fewer bits: what Pillow gives of them is nearly black."""
        highest = max((level for _, level in files), default=_DARK)
        if highest < _DARK:
            names = enumerated([self._listing.names[index] for index, _ in files], 3)
            self.notes.append(
                f"{len(files)} color image(s) of 16 bits reach level {highest} of 255, as Pillow reads the upper 8 bits "
                f"alone; store them with 8 bits: {names}"
            )

    def _note_warnings(self) -> None:
        """Say what Pillow warned of: of files that it read; those that it did not read are skipped with a reason."""
        for text, files in self._warnings.by_text():
            names = [self._listing.names[index] for index in files if index not in self.bad]
            if names:
                self.notes.append(
                    f"{len(names)} image(s) are read although Pillow warns ({text}): {enumerated(names, 3)}"
                )

    def part(self, indices: NDArray[np.int64]) -> Images:
        """Return the readable images at `indices` (positions in `good`)."""
        if self.pixels is not None:
            return CachedImages([self.pixels[i] for i in indices])
        return FileImages(
            [self._paths[i] for i in indices],
            self.sizes[indices],
            self._listing.stats[self.good[indices]],
            self.digests[indices],
            self._channels,
            self.reading,
        )


def _workers(listing: Listing) -> int:
    """Return how many threads decode the files."""
    tiny = len(listing.names) > 0 and np.median(listing.stats[:, 0]) < _TINY
    return 1 if tiny else min(8, os.cpu_count() or 1)


def usual_depth(bits: int) -> int:
    """Return the smallest of 8, 10, 12, 14 and 16 bits that holds so many."""
    return bits + bits % 2


def depth_note(images: str, depth: int) -> str:
    """Say that gray images are read as having fewer bits than they are stored with."""
    return (
        f"{images} of gray with more than 8 bits have no value above {(1 << depth) - 1:,}, so they are read as {depth} "
        "bits; the option bit_depth says otherwise"
    )


def _taking_turns(image: Image.Image) -> AbstractContextManager[object]:
    """Wait for other large images to be decoded, where this is one."""
    return _one_large if image.width * image.height > _LARGE else nullcontext()


def _has_deep_colors(image: Image.Image) -> bool:
    """Whether an image that is not decoded yet has 16 bits per color in its file."""
    tiles = getattr(image, "tile", ())
    return image.mode != "L" and any(";16" in str(part) for tile in tiles for part in tile[3:])
