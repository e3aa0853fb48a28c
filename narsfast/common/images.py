"""Reading of one image: orientation, bit depth, shrinking, the centered square, resizing, normalization.

Training, validation, test and the transform of an emitted network call these functions, so that all of them see the same
pixels. The file needs numpy and Pillow alone: every emitted folder has a copy of it, as preprocess.py.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Union

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

Source = Union[str, "os.PathLike[str]", bytes, IO[bytes], Image.Image]
"""An image: its file, the content of its file, or what Pillow opened."""

KEPT_PIXELS = 2**24
"""Most pixels of a shrunk image (this project's choice): with a usual short side, 70 times as wide as it is high."""

_ORIENTATION = 0x0112  # the tag in EXIF
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_JPEG = ("JPEG", "MPO")
_METADATA = {"exif", "xmp", "XML:com.adobe.xmp"}
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


@dataclass(frozen=True)
class Reading:
    """How an image file becomes pixels of 8 bits. The defaults are what version 0.2 did.

    Attributes:
        short_side: Pixels to which the short side of a larger image is shrunk first; None keeps every size.
        draft: Whether a JPEG that is shrunk is decoded at a half, a quarter or an eighth already.
        orient: Whether the orientation in EXIF data is applied.
        bit_depth: Bits that gray pixels of more than 8 bits use, 8 to 16: larger values are white. None is by the file:
            16, but 8 for 32-bit integers of which none exceeds 255.
    """

    short_side: int | None = None
    draft: bool = False
    orient: bool = False
    bit_depth: int | None = None


def read_image(source: Source, channels: int, reading: Reading) -> NDArray[np.uint8]:
    """Read an image.

    Args:
        source: Its file, the content of its file, or an image of Pillow, which is not changed. One that Pillow has
            opened and not yet decoded is read as its file is.
        channels: 1 (gray) or 3 (RGB).
        reading: How.

    Returns:
        (height, width) or (height, width, 3) uint8.

    Raises:
        ValueError: The value of white is not defined (floating-point pixels, integers beyond 16 bits), there are too
            many pixels, or the file is HEIC and pillow-heif is not installed.
        Exception: Whatever Pillow raises on a file that is broken or not an image.
    """
    with opened(source) as image:
        return decoded(image, channels, reading)


@contextmanager
def opened(source: Source) -> Iterator[Image.Image]:
    """Open an image as `read_image` does, without decoding it."""
    if isinstance(source, Image.Image):
        content = _undecoded(source)
        if content is None:
            yield source
            return
        with content as image:
            yield image
        return
    with _open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
        yield image


def decoded(image: Image.Image, channels: int, reading: Reading) -> NDArray[np.uint8]:
    """Decode an image that `opened` gave; arguments, result and errors as of `read_image`."""
    mode = "L" if channels == 1 else "RGB"
    target = smaller_size(image.size, reading.short_side)
    width, height = target or image.size
    if reading.short_side is not None and width * height > KEPT_PIXELS:
        raise ValueError(f"{image.width} x {image.height} pixels are too many for so narrow an image; cut it")
    if target is not None and reading.draft and image.format in _JPEG:
        image.draft(mode, target)
    else:
        image.load()  # turns a TIFF by itself, and forgets its orientation
        target = smaller_size(image.size, reading.short_side)
    transpose = _TRANSPOSES.get(_orientation(image)) if reading.orient else None
    result = eight_bit(image, reading.bit_depth).convert(mode)
    if target is not None:
        result = result.resize(target, Image.Resampling.BILINEAR)
    return np.asarray(result if transpose is None else result.transpose(transpose))


def _open(file: str | os.PathLike[str] | IO[bytes]) -> Image.Image:
    try:
        return Image.open(file)
    except UnidentifiedImageError:
        if not _is_heif(file):
            name = f"{os.fspath(file)!r}" if isinstance(file, (str, os.PathLike)) else "it"
            raise UnidentifiedImageError(f"{name} is not an image that Pillow knows") from None
    try:
        import pillow_heif  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise ValueError(
            "HEIC is read by pillow-heif, which is not installed: pip install pillow-heif"
        ) from None
    pillow_heif.register_heif_opener()
    return Image.open(file)


def _is_heif(file: str | os.PathLike[str] | IO[bytes]) -> bool:
    if isinstance(file, (str, os.PathLike)):
        with open(file, "rb") as content:
            head = content.read(12)
    else:
        file.seek(0)
        head = file.read(12)
        file.seek(0)
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS


def _undecoded(image: Image.Image) -> Image.Image | None:
    """Open the file of a JPEG again that was opened and not decoded: only so can it be decoded smaller."""
    file = getattr(image, "fp", None)
    if image.format not in _JPEG or file is None or not getattr(image, "tile", None) or image.tell():
        return None
    place = file.tell()
    try:
        file.seek(0)
        again = Image.open(io.BytesIO(file.read()))
    finally:
        file.seek(place)
    return again if again.size == image.size else None


def _orientation(image: Image.Image) -> Any:
    """Return the orientation in EXIF, 1 where there is none."""
    if image.format in _JPEG and not _METADATA & image.info.keys():
        return 1  # asking Pillow takes a tenth of the time of a small image
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # of broken metadata, which does not keep the pixels from being read
        return 1


def smaller_size(size: tuple[int, int], short_side: int | None) -> tuple[int, int] | None:
    """Return the size that an image of `size` is shrunk to; None where its short side is not larger."""
    scale = 1 if short_side is None else short_side / min(size)
    return None if scale >= 1 else (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))


def bits_used(image: Image.Image) -> int | None:
    """Return how many bits the values of a gray image of more than 8 bits need, at least 8; None of other images.

    Raises:
        ValueError: As `eight_bit`.
    """
    if not image.mode.startswith("I"):
        return None
    stated = getattr(image, "tag_v2", {}).get(258)  # bits per sample of TIFF, which has 12-bit files
    bits = stated[0] if isinstance(stated, tuple) and 8 < stated[0] < 16 else 8
    return max(bits, _gray_values(image)[1].bit_length())


def eight_bit(image: Image.Image, bit_depth: int | None = None) -> Image.Image:
    """Convert gray pixels of more than 8 bits to 8 bits; return every other image as it is.

    Pillow's own conversion cuts such values off at 255.

    Args:
        image: Of any mode.
        bit_depth: As in `Reading`.

    Raises:
        ValueError: The value of white is not defined: floating-point pixels, or integers beyond 16 bits.
    """
    if image.mode == "F":
        raise ValueError("floating-point pixels are not supported (Pillow mode F): store 8 or 16 bits")
    if not image.mode.startswith("I"):
        return image
    values, highest = _gray_values(image)
    if bit_depth is None:
        bit_depth = 8 if image.mode == "I" and highest <= 0xFF else 16
    values = np.minimum(values, (1 << bit_depth) - 1) >> (bit_depth - 8)
    return Image.fromarray(values.astype(np.uint8))


def _gray_values(image: Image.Image) -> tuple[NDArray[Any], int]:
    values = np.asarray(image)
    lowest, highest = int(values.min()), int(values.max())
    if lowest < 0 or highest > 0xFFFF:
        raise ValueError(
            f"pixels from {lowest} to {highest} are not supported (Pillow mode {image.mode}): store 8 or 16 bits"
        )
    return values, highest


def center_boxes(sizes: NDArray[np.int64], crop: float) -> NDArray[np.float64]:
    """Return the centered squares that evaluation sees.

    Args:
        sizes: (n, 2) heights and widths, pixels.
        crop: Side of the square, as a share of the shorter side.

    Returns:
        (n, 4): left, top, right, bottom, pixels.
    """
    side = sizes.min(axis=1, keepdims=True) * crop
    corner = (sizes[:, ::-1] - side) / 2
    return np.concatenate([corner, corner + side], axis=1)


def resized(image: Image.Image, box: Sequence[float], resolution: int) -> Image.Image:
    """Resize the part of an image (mode ``L`` or ``RGB``) in `box` to a square, bilinear and antialiased."""
    left, top, right, bottom = box
    return image.resize((resolution, resolution), Image.Resampling.BILINEAR, box=(left, top, right, bottom))


def normalized(pixels: NDArray[np.uint8], mean: Sequence[float], std: Sequence[float]) -> NDArray[np.float32]:
    """Return pixels (..., width, channels) as float32: scaled to 0..1, minus mean, divided by standard deviation."""
    *outer, width, channels = pixels.shape
    # Rows of width x channels: the innermost loop is long, and the channels stay last.
    shift = np.tile(np.asarray(mean, np.float32) * np.float32(255), width)
    scale = np.tile(np.float32(1) / (np.asarray(std, np.float32) * np.float32(255)), width)
    rows = pixels.reshape(*outer, width * channels).astype(np.float32)
    rows -= shift
    rows *= scale
    return rows.reshape(pixels.shape)


class Transform:
    """The preprocessing of an image, exactly as in validation and test.

    Args:
        facts: The content of preprocessing.json.
    """

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._channels = int(facts["in_chans"])
        self._resolution = int(facts["resolution"])
        self._crop = float(facts["crop"])
        self._mean, self._std = tuple(facts["mean"]), tuple(facts["std"])
        self._reading = Reading(**{name: facts[name] for name in Reading.__annotations__ if name in facts})

    def pixels(self, image: Source) -> NDArray[np.uint8]:
        """Return what the network sees, (resolution, resolution, in_chans) uint8; arguments as of `read_image`."""
        whole = Image.fromarray(read_image(image, self._channels, self._reading))
        (box,) = center_boxes(np.array([whole.size[::-1]]), self._crop).tolist()
        square = np.asarray(resized(whole, box, self._resolution))
        return square.reshape(self._resolution, self._resolution, self._channels)

    def __call__(self, image: Source) -> NDArray[np.float32]:
        """Return the network's input, (in_chans, resolution, resolution) float32; arguments as of `read_image`."""
        return normalized(self.pixels(image), self._mean, self._std).transpose(2, 0, 1)


def load(folder: str | os.PathLike[str] | None = None) -> Transform:
    """Return the preprocessing of an emitted folder; the default is the folder of this file."""
    file = Path(__file__).parent if folder is None else Path(folder)
    return Transform(json.loads((file / "preprocessing.json").read_text(encoding="utf-8")))
