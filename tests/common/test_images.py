import io
import sys
import tracemalloc
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageOps, UnidentifiedImageError

from narsfast.common.images import (
    KEPT_PIXELS,
    Reading,
    bits_used,
    center_boxes,
    eight_bit,
    normalized,
    opened,
    read_image,
    smaller_size,
)

PICTURE = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)


def file_of(image, kind="png", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "tiff", "webp"])
def test_orientation_is_applied_as_pillow_does(orientation, kind):
    options = {"lossless": True} if kind == "webp" else {}
    content = file_of(Image.fromarray(PICTURE), kind, exif=turned(orientation), **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    assert np.array_equal(read_image(content, 3, Reading(orient=True)), expected)
    unturned = expected if kind == "tiff" else PICTURE  # Pillow turns TIFF in any case
    assert np.array_equal(read_image(content, 3, Reading()), unturned)


def test_orientation_of_an_image_that_was_converted_before_is_known():
    content = file_of(Image.fromarray(PICTURE), exif=turned(6))
    converted = Image.open(io.BytesIO(content)).convert("RGB")
    assert np.array_equal(read_image(converted, 3, Reading(orient=True)), np.rot90(PICTURE, -1))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("exif", [turned(0), turned(9), b"Exif\0\0broken", b"Exif\0\0MM\0*\xff\xff\xff\xff"])
def test_wrong_orientation_is_none(exif):
    content = file_of(Image.fromarray(PICTURE), exif=exif)
    assert np.array_equal(read_image(content, 3, Reading(orient=True)), PICTURE)


@pytest.mark.parametrize(("bits", "highest"), [(8, 200), (8, 255), (9, 256), (12, 4095), (16, 0x8000)])
def test_bits_used_are_those_of_the_largest_value(bits, highest):
    assert bits_used(Image.fromarray(np.array([[0, highest]], np.uint16))) == bits


def test_bits_of_usual_images_are_not_asked_for():
    assert bits_used(Image.fromarray(PICTURE)) is None


@pytest.mark.parametrize(
    ("bit_depth", "expected"),
    [
        (8, [0, 255, 255, 255]),
        (10, [0, 63, 255, 255]),
        (12, [0, 15, 255, 255]),
        (16, [0, 0, 15, 255]),
        (None, [0, 0, 15, 255]),
    ],
)
def test_larger_values_than_the_bit_depth_has_are_white(bit_depth, expected):
    image = Image.fromarray(np.array([[0, 255, 4095, 0xFFFF]], np.uint16))
    assert np.asarray(eight_bit(image, bit_depth)).tolist() == [expected]


def test_jpeg_is_decoded_the_same_however_it_is_given(tmp_path):
    image = Image.fromarray(PICTURE).resize((900, 600), Image.Resampling.BICUBIC)
    image.save(tmp_path / "a.jpg")
    reading = Reading(short_side=48, draft=True)
    expected = read_image(tmp_path / "a.jpg", 3, reading)
    assert expected.shape == (48, 72, 3)
    content = (tmp_path / "a.jpg").read_bytes()
    given = Image.open(tmp_path / "a.jpg")
    for source in (str(tmp_path / "a.jpg"), content, io.BytesIO(content), given):
        assert np.array_equal(read_image(source, 3, reading), expected)
    assert given.size == (900, 600)
    assert given.getpixel((0, 0)) is not None
    assert np.abs(read_image(image, 3, reading).astype(int) - expected).max() < 20


def test_frames_after_the_first_are_not_mistaken_for_it():
    frames = [Image.new("RGB", (20, 20), (shade, 0, 0)) for shade in (0, 200)]
    image = Image.open(io.BytesIO(file_of(frames[0], "gif", save_all=True, append_images=frames[1:])))
    image.seek(1)
    assert read_image(image, 3, Reading(short_side=8, draft=True)).max() == 200


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(KEPT_PIXELS + 1, 1), (1, 2 * KEPT_PIXELS), (10**8, 1)])
def test_panorama_that_takes_all_memory_is_refused_before_it_is_decoded(size):
    row = np.zeros((1, 1), np.uint8)
    content = bytearray(file_of(Image.fromarray(row)))
    content[16:24] = size[0].to_bytes(4, "big") + size[1].to_bytes(4, "big")
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    tracemalloc.start()
    with pytest.raises(ValueError, match=f"{size[0]} x {size[1]} pixels are too many for so narrow an image"):
        read_image(bytes(content), 3, Reading(short_side=48))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**20


@pytest.mark.parametrize("given", ["path", "content", "file"])
def test_heic_without_its_package_says_what_to_install(tmp_path, monkeypatch, given):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "photo.jpg").write_bytes(HEIC)
    source = {"path": tmp_path / "photo.jpg", "content": HEIC, "file": io.BytesIO(HEIC)}[given]
    with pytest.raises(
        ValueError, match="HEIC is read by pillow-heif, which is not installed: pip install pillow-heif"
    ):
        read_image(source, 3, Reading())


def test_heic_is_read_where_its_package_is(monkeypatch):
    def register_heif_opener():
        monkeypatch.setattr(Image, "open", lambda file: Image.fromarray(PICTURE))

    monkeypatch.setitem(
        sys.modules, "pillow_heif", SimpleNamespace(register_heif_opener=register_heif_opener)
    )
    assert np.array_equal(read_image(HEIC, 3, Reading()), PICTURE)


def test_heic_of_the_real_package():
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed (the extra `heic`)")
    file = io.BytesIO()
    heif.from_pillow(Image.new("RGB", (64, 48), (200, 100, 50))).save(file, quality=90)
    pixels = read_image(file.getvalue(), 3, Reading(orient=True))
    assert pixels.shape == (48, 64, 3)
    assert np.abs(pixels.astype(int) - [200, 100, 50]).max() < 12


@pytest.mark.parametrize("content", [b"", b"no image", b"\0\0\0\x18ftypisom" + bytes(20)])
def test_what_is_no_image_is_named_so(content):
    with pytest.raises(UnidentifiedImageError, match=r"^it is not an image that Pillow knows$"):
        read_image(content, 3, Reading())


def test_normalization_is_that_of_torch():
    import torch

    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    expected = torch.from_numpy(pixels).float()
    expected = expected.sub(torch.tensor(mean).mul(255)).mul(torch.tensor(std).mul(255).reciprocal())
    assert np.array_equal(normalized(pixels, mean, std), expected.numpy())


def test_boxes_are_centered_squares():
    assert center_boxes(np.array([[10, 20], [8, 8]]), 0.5).tolist() == [[7.5, 2.5, 12.5, 7.5], [2, 2, 6, 6]]


def test_large_turned_tiff_keeps_its_shape():
    content = file_of(Image.fromarray(PICTURE).resize((60, 40)), "tiff", exif=turned(6))
    for orient in (True, False):  # Pillow turns TIFF in any case
        assert read_image(content, 3, Reading(short_side=20, orient=orient)).shape == (30, 20, 3)


@pytest.mark.parametrize(
    ("size", "smaller"),
    [((100, 50), (20, 10)), ((10, 9), None), ((10, 10**5), None), ((11, 900), (10, 818))],
)
def test_only_larger_images_are_shrunk(size, smaller):
    assert smaller_size(size, 10) == smaller
    assert smaller_size(size, None) is None


def test_opening_does_not_decode():
    with opened(file_of(Image.fromarray(PICTURE))) as image:
        assert image.tile
