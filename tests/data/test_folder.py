import logging
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from narsfast.common.images import Reading, read_image
from narsfast.data import batches, load_data
from narsfast.data._decode import FileImages
from narsfast.data._folder import load_folder
from narsfast.errors import UserError


def sizes(data):
    return len(data.train), len(data.val), len(data.test)


def pixels(split):
    return [image.tobytes() for image in split.images.read(np.arange(len(split)))]


@pytest.mark.parametrize("validation", ["val", "validation", "valid"])
def test_three_splits_are_read_as_they_are(make_folder, validation):
    root = make_folder(
        {"train/a": 4, "train/b": 3, f"{validation}/a": 2, f"{validation}/b": 2, "test/a": 1, "test/b": 2}
    )
    data = load_data(root)
    assert sizes(data) == (7, 4, 3)
    assert data.classes == ("a", "b")
    assert data.train.labels.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert data.test.labels.tolist() == [0, 1, 1]
    assert (data.in_chans, data.mirror, data.name) == (3, True, "photos")
    assert data.chance == 50


def test_missing_test_split_is_taken_from_train(make_folder):
    root = make_folder({"train/a": 20, "train/b": 20, "val/a": 5, "val/b": 5})
    whole = {*pixels(load_data(root).train), *pixels(load_data(root).test)}
    data = load_data(root)
    assert sizes(data) == (34, 10, 6)
    assert len(whole) == 40
    assert not set(pixels(data.val)) & whole


def test_missing_validation_split_is_taken_from_train(make_folder):
    data = load_data(make_folder({"train/a": 20, "train/b": 20, "test/a": 5, "test/b": 4}))
    assert sizes(data) == (34, 6, 9)


@pytest.mark.parametrize("prefix", ["", "train/"])
def test_one_folder_is_split_three_ways_the_same_each_time(make_folder, prefix):
    root = make_folder({f"{prefix}a": 20, f"{prefix}b": 40, f"{prefix}c/deep/er": 20})
    data, again = load_data(root), load_data(root)
    assert sizes(data) == (56, 12, 12)
    assert np.bincount(data.val.labels).tolist() == [3, 6, 3]
    assert pixels(data.test) == pixels(again.test)
    assert len({*pixels(data.train), *pixels(data.val), *pixels(data.test)}) == 80


def test_broken_files_are_named_skipped_and_reported(make_folder, caplog):
    root = make_folder({"train/a": 4, "train/b": 4, "val/a": 2, "val/b": 2, "test/a": 2, "test/b": 2})
    (root / "train/a/notes.txt").write_text("not an image")
    whole = (root / "val/b/000.jpg").read_bytes()
    (root / "val/b/cut.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "test/a/empty.png").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        data = load_data(root)
    assert sizes(data) == (8, 4, 4)
    assert {skipped.file for skipped in data.skipped} == {
        "train/a/notes.txt",
        "val/b/cut.jpg",
        "test/a/empty.png",
    }
    assert all(skipped.reason for skipped in data.skipped)
    for name in ("train/a/notes.txt", "val/b/cut.jpg", "test/a/empty.png"):
        assert name in caplog.text
    assert "train/a/notes.txt (it is not an image that Pillow knows)" in caplog.text


def write_transparent_palette(path, level):
    """Write an image of which Pillow warns when it becomes RGB."""
    gray = np.arange(64, dtype=np.uint8).reshape(8, 8) + np.uint8(level)
    Image.fromarray(gray).convert("P").save(path, transparency=bytes(99))


@pytest.mark.parametrize("cached", [True, False])
def test_what_pillow_warns_of_is_said_once_by_file(make_folder, caplog, cached):
    root = make_folder({"a": 6, "b": 7})
    for level, name in enumerate(("a/p.png", "a/q.png", "b/p.png", "b/q.png")):
        write_transparent_palette(root / name, level)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # as `python -W error`, under which such files are read too
        data = load_folder(root, 16, True, cache_bytes=2**20 if cached else 0)
        assert all(len(pixels(split)) == len(split) for split in (data.train, data.val, data.test))
    (note,) = data.notes
    assert note.startswith("4 image(s) are read although Pillow warns (Palette images with Transparency")
    assert note.endswith("): a/p.png, a/q.png, b/p.png and 1 more")
    assert not data.skipped


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"train/a": 3, "train/b": 0, "val/a": 1, "val/b": 1}, r"train.*no image in class folder.*\['b'\]"),
        ({"train/a": 3}, "one class folder, 'a'"),
        ({}, "no class folders"),
        ({"train/a": 3, "train/b": 3, "val/a": 1, "val/c": 1}, r"only in the first \['b'\].*second \['c'\]"),
        ({"a": 5, "b": 2}, "'b' has 2 image.*at least 3"),
        ({"train/a": 3, "train/b": 3, "val/a": 1, "valid/a": 1}, "more than one validation folder"),
    ],
)
def test_unusable_classes_are_refused(make_folder, counts, message):
    with pytest.raises(UserError, match=message):
        load_data(make_folder(counts))


def test_class_of_broken_files_is_refused_as_empty(make_folder):
    root = make_folder({"a": 4, "b": 0})
    (root / "b/x.jpg").write_text("no")
    with pytest.raises(UserError, match=r"\['b'\] \(1 unreadable"):
        load_data(root)


@pytest.mark.parametrize("name", ["missing", "file"])
def test_missing_folder_is_refused(tmp_path, name):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match=f"{name}' is not a folder; give 'digits'"):
        load_data(tmp_path / name)


def test_files_beyond_the_cache_limit_give_the_same_batches(make_folder):
    root = make_folder({"a": 8, "b": 8})
    cached = load_folder(root, 32, True)
    files = load_folder(root, 32, True, cache_bytes=10_000)
    assert isinstance(files.train.images, FileImages)
    assert not isinstance(cached.train.images, FileImages)
    assert cached.preprocess == files.preprocess
    for training in (True, False):
        for (x, y), (u, v) in zip(
            batches(cached.train, 24, 4, training=training),
            batches(files.train, 24, 4, training=training),
            strict=True,
        ):
            assert x.equal(u)
            assert y.equal(v)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_large_images_are_shrunk_once_and_small_ones_kept(make_folder, suffix):
    root = make_folder({"a": 3, "b": 3}, suffix, size=(300, 400))
    assert load_data(root, 32).train.images.sizes[0].tolist() == [64, 48]
    assert load_data(root, 320).train.images.sizes[0].tolist() == [400, 300]


def test_gray_palette_and_alpha_images_become_color(make_folder):
    root = make_folder({"a": 3, "b": 3})
    for i, mode in enumerate(["L", "P", "RGBA", "CMYK"]):
        image = Image.new("RGB", (20, 20), (200, 100, 50)).convert(mode)
        image.save(root / "a" / f"z{i}.{'jpg' if mode == 'CMYK' else 'png'}")
    data = load_data(root)
    assert not data.skipped
    assert sum(sizes(data)) == 10
    assert all(image.mode == "RGB" for image in data.train.images.read(np.arange(len(data.train))))


def gray(values, mode="I;16"):
    """One row of gray pixels, in a mode of more than 8 bits."""
    kind = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4", "F": "<f4"}[mode]
    return Image.frombytes(mode, (len(values), 1), np.array(values, kind).tobytes())


@pytest.mark.parametrize(
    ("name", "mode"), [("a.png", "I;16"), ("a.tif", "I;16"), ("a.tif", "I;16B"), ("a.tif", "I")]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_gray_is_scaled_to_8(tmp_path, name, mode, channels):
    gray([0, 255, 256, 0x4080, 0xFFFF], mode).save(tmp_path / name)
    pixels = read_image(tmp_path / name, channels, Reading(short_side=32))
    assert pixels.dtype == np.uint8
    assert pixels.reshape(1, 5, -1)[0, :, 0].tolist() == [0, 0, 1, 0x40, 0xFF]


def test_32_bit_gray_of_8_bit_values_stays_as_it_is(tmp_path):
    gray([0, 7, 255], "I").save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif", 1, Reading(short_side=32)).tolist() == [[0, 7, 255]]


def test_large_16_bit_gray_is_shrunk_in_8_bits(tmp_path):
    Image.fromarray(np.full((64, 48), 0x8000, np.uint16)).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png", 1, Reading(short_side=24)) == np.full((32, 24), 0x80)).all()


def test_pixels_without_a_defined_white_are_skipped_by_name(make_folder, caplog):
    root = make_folder({"a": 4, "b": 4})
    gray([0.0, 0.5, 1.0], "F").save(root / "a/float.tif")
    gray([0, 70_000], "I").save(root / "a/wide.tif")
    gray([-1, 300], "I").save(root / "b/negative.tif")
    with caplog.at_level(logging.WARNING):
        data = load_data(root)
    assert {file: reason.split(" (")[0] for file, reason in data.skipped} == {
        "a/float.tif": "floating-point pixels are not supported",
        "a/wide.tif": "pixels from 0 to 70000 are not supported",
        "b/negative.tif": "pixels from -1 to 300 are not supported",
    }
    assert "a/float.tif" in caplog.text


def test_mean_and_std_are_those_of_the_training_pixels(make_folder):
    data = load_data(
        make_folder({"train/a": 5, "train/b": 5, "val/a": 2, "val/b": 2, "test/a": 2, "test/b": 2})
    )
    values = np.stack([np.asarray(i) for i in data.train.images.read(np.arange(10))]).reshape(-1, 3) / 255
    np.testing.assert_allclose(data.preprocess.mean, values.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(data.preprocess.std, values.std(axis=0), atol=1e-4)


@pytest.mark.parametrize("name", ["training", "val", "Test"])
def test_splits_without_train_are_refused(make_folder, name):
    root = make_folder({f"{name}/a": 3, f"{name}/b": 3, "more/a": 3, "more/b": 3})
    with pytest.raises(UserError, match=f"has '{name}' and no 'train'"):
        load_folder(root, 16, True)


def write_deep(root, highest):
    """Write three classes of a camera of few bits, in files of 16."""
    for number in range(3):
        for i in range(4):
            path = root / f"class{number}" / f"{i}.{'tif' if i % 2 else 'png'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((20, 24), highest - i - number * (highest // 29), np.uint16)).save(path)
    return root


@pytest.mark.parametrize("cache_bytes", [2**20, 0])
@pytest.mark.parametrize("highest", [255, 1023, 4095, 16383])
def test_bit_depth_is_that_of_the_largest_value_of_all_files(tmp_path, caplog, highest, cache_bytes):
    """Of 12 bits, classes 140 levels apart stay 8 of 256 apart; version 0.2 made one gray of them."""
    data = load_folder(write_deep(tmp_path / "photos", highest), 16, True, cache_bytes)
    depth = highest.bit_length()
    assert data.preprocess.reading.bit_depth == depth
    (note,) = data.notes
    assert note.startswith("12 image(s) of gray with more than 8 bits have no value above")
    assert f"{highest:,}, so they are read as {depth} bits" in note
    levels = {int(np.asarray(image).max()) for image in data.train.images.read(np.arange(len(data.train)))}
    assert max(levels) >= 252
    assert len({level // 6 for level in levels}) >= 3


@pytest.mark.parametrize(("option", "brightest"), [("12", 255), (16, 15), ("0.2", 15), (14, 63)])
def test_bit_depth_is_an_option(tmp_path, option, brightest):
    data = load_data(write_deep(tmp_path / "photos", 4095), 16, bit_depth=option)
    everything = [split.images.read(np.arange(len(split))) for split in (data.train, data.val, data.test)]
    assert max(int(np.asarray(image).max()) for images in everything for image in images) == brightest
    assert not data.notes


@pytest.mark.parametrize("option", ["11", 20, "deep"])
def test_bit_depth_that_is_not_possible_is_refused(tmp_path, option):
    with pytest.raises(
        UserError, match=f"bit_depth is '{option}'; it must be one of auto, 8, 10, 12, 14, 16"
    ):
        load_data(tmp_path, bit_depth=option)


def test_one_large_value_anywhere_decides_for_all(tmp_path):
    root = write_deep(tmp_path / "photos", 4095)
    Image.fromarray(np.full((20, 24), 0xFFFF, np.uint16)).save(root / "class2" / "x.png")
    assert load_data(root, 16).preprocess.reading.bit_depth == 16


def test_color_of_few_bits_in_16_is_named(make_folder, monkeypatch):
    """Pillow reads the upper 8 bits alone, which nothing can bring back."""
    root = make_folder({"a": 4, "b": 4}, "png")
    monkeypatch.setattr("narsfast.data._decode._has_deep_colors", lambda image: True)
    assert not load_data(root, 16).notes
    for file in root.glob("*/*.png"):
        Image.open(file).point(lambda value: value >> 4).save(file)
    (note,) = load_data(root, 16).notes
    assert note.startswith(
        "8 color image(s) of 16 bits reach level 15 of 255, as Pillow reads the upper 8 bits alone"
    )


def test_color_of_16_bits_is_recognized(tmp_path):
    """A PNG of 16 bits per color, which Pillow cannot write."""
    from narsfast.data._decode import _has_deep_colors

    row = b"\0" + bytes(6 * 4)
    header = bytes([0, 0, 0, 4, 0, 0, 0, 2, 16, 2, 0, 0, 0])
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(row * 2)), (b"IEND", b""))
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
        for kind, data in chunks
    )
    (tmp_path / "a.png").write_bytes(content)
    with Image.open(tmp_path / "a.png") as image:
        assert _has_deep_colors(image)
    Image.new("RGB", (4, 2)).save(tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        assert not _has_deep_colors(image)
