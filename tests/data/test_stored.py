import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from narsfast.common.preparation import Preparation
from narsfast.data import Augmentation, Dataset, Preprocess, Split, batches, load_data, save_dataset
from narsfast.data._dataset import CachedImages
from narsfast.errors import UserError

SHARES = st.floats(0.01, 1, allow_nan=False)


@st.composite
def datasets(draw):
    """Draw data sets of few small images of any size, gray or in color, with any preprocessing."""
    channels = draw(st.sampled_from([1, 3]))
    classes = tuple(draw(st.lists(st.text(max_size=5), min_size=2, max_size=4)))
    values = np.random.default_rng(draw(st.integers(0, 2**32)))
    preprocess = Preprocess(
        channels,
        mean=tuple(draw(SHARES) for _ in range(channels)),
        std=tuple(draw(SHARES) for _ in range(channels)),
        mirror=draw(st.booleans()),
        area=(draw(SHARES), 1.0),
        ratio=(draw(SHARES), 4 / 3),
        evaluation_crop=draw(SHARES),
    )

    def split(name):
        sizes = draw(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=6))
        shapes = [(*size, 3) if channels == 3 else size for size in sizes]
        pixels = [values.integers(0, 256, shape, dtype=np.uint8) for shape in shapes]
        labels = values.integers(0, len(classes), len(sizes))
        return Split(name, labels, CachedImages(pixels), preprocess)

    return Dataset(
        draw(st.text(max_size=5)), classes, split("train"), split("val"), split("test"), preprocess
    )


@settings(deadline=None, max_examples=25)
@given(datasets())
def test_stored_data_comes_back_exactly(dataset):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "below", "data.safetensors")
        save_dataset(dataset, file)
        first = file.read_bytes()
        save_dataset(dataset, file)
        assert file.read_bytes() == first
        loaded = load_data(file)
        assert (loaded.name, loaded.classes, loaded.preprocess) == (
            dataset.name,
            dataset.classes,
            dataset.preprocess,
        )
        assert loaded.fingerprint() == dataset.fingerprint()
        for own, other in zip(splits(loaded), splits(dataset), strict=True):
            everything = np.arange(len(other))
            np.testing.assert_array_equal(own.labels, other.labels)
            assert own.labels.dtype == np.int64
            np.testing.assert_array_equal(own.images.sizes, other.images.sizes)
            for ours, theirs in zip(
                own.images.pixels(everything), other.images.pixels(everything), strict=True
            ):
                np.testing.assert_array_equal(ours, theirs)
        assert_same_batches(loaded, dataset)


def splits(dataset):
    return dataset.train, dataset.val, dataset.test


def assert_same_batches(first, second, load=batches, kind="randaugment", batch_size=4):
    augmentation = Augmentation(kind, color=0.3, erasing=0.3)
    for options in ({}, {"training": True, "seed": 3, "epoch": 1, "augmentation": augmentation}):
        for (x, y), (reference, labels) in zip(
            load(first.train, 8, batch_size, **options),
            load(second.train, 8, batch_size, **options),
            strict=True,
        ):
            assert x.equal(reference)
            assert y.equal(labels)


@pytest.mark.parametrize("cache_bytes", [2**20, 0], ids=["memory", "files"])
def test_stored_folder_gives_the_batches_of_the_folder(make_folder, tmp_path, cache_bytes):
    from narsfast.data._folder import load_folder

    dataset = load_folder(make_folder({"a": 8, "b": 9}), 16, True, cache_bytes)
    save_dataset(dataset, tmp_path / "photos.safetensors")
    assert_same_batches(load_data(tmp_path / "photos.safetensors"), dataset)


def test_stored_digits_give_the_batches_of_the_digits(tmp_path):
    save_dataset(load_data("digits"), tmp_path / "d.safetensors")
    assert_same_batches(load_data(tmp_path / "d.safetensors"), load_data("digits"), batch_size=500)


def test_stored_data_is_mirrored_only_where_both_the_file_and_the_caller_allow_it(make_folder, tmp_path):
    root, file = make_folder({"a": 4, "b": 4}), tmp_path / "data.safetensors"
    for stored, asked in ((True, True), (True, False), (False, True)):
        save_dataset(load_data(root, 16, mirror=stored), file)
        loaded = load_data(file, mirror=asked)
        assert loaded.mirror == loaded.train.preprocess.mirror == (stored and asked)


def test_other_suffix_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"file is '.*data.npz'; its name must end in .safetensors"):
        save_dataset(load_data("digits"), tmp_path / "data.npz")


def rewritten(file, change=lambda tensors: None, description=None):
    """Store the digits, and change the file."""
    save_dataset(load_data("digits"), file)
    tensors = load_file(file)
    change(tensors)
    preprocess = {"in_chans": 1, "mean": [0.5], "std": [0.5]}
    described = {"name": "x", "classes": list("0123456789"), "preprocess": preprocess} | (description or {})
    save_file(tensors, file, {"narsfast.dataset": json.dumps(described)})


def relabel(tensors):
    tensors["val.labels"] = tensors["val.labels"] + 1


def shorten(tensors):
    tensors["test.pixels"] = tensors["test.pixels"][:-1]


def lose_a_label(tensors):
    tensors["train.labels"] = tensors["train.labels"][1:]


def lose_a_split(tensors):
    del tensors["test.labels"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"change": relabel}, "val has label 10 of 10 classes"),
        ({"change": shorten}, r"test has 367615 bytes of pixels where its sizes say 367616"),
        ({"change": lose_a_label}, r"train has sizes \(1079, 2\) for 1078 labels"),
        ({"change": lose_a_split}, "test.labels"),
        ({"description": {"classes": ["one"]}}, r"classes is \['one'\]; .* at least 2 items"),
        ({"description": {"preprocess": {"in_chans": 1}}}, "preprocess.mean is missing"),
    ],
)
def test_file_that_contradicts_itself_is_refused_by_name(tmp_path, options, said):
    file = tmp_path / "data.safetensors"
    rewritten(file)
    assert load_data(file).classes == tuple("0123456789")
    rewritten(file, **options)
    with pytest.raises(
        UserError, match=rf"data.safetensors' is not a stored data set \(.*{said}.*\); write it again"
    ):
        load_data(file)


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_other_files_are_refused(tmp_path, content):
    file = tmp_path / "weights.safetensors"
    if content is None:
        save_file({"weight": np.zeros(3, np.float32)}, file)
    else:
        file.write_bytes(content)
    with pytest.raises(UserError, match=r"weights.safetensors' is not a stored data set"):
        load_data(file)


def test_dali_gives_stored_data_as_it_gives_the_original(make_folder, tmp_path):
    pytest.importorskip("nvidia.dali", reason="NVIDIA DALI is not installed (the extra `dali`)")
    from narsfast.data import open_loader

    for number, dataset in enumerate((load_data(make_folder({"a": 100, "b": 8}), 16), load_data("digits"))):
        file = tmp_path / f"{number}.safetensors"
        save_dataset(dataset, file)
        assert_same_batches(load_data(file), dataset, open_loader("dali").batches, "crop", 64)


def test_interpolation_is_kept_where_it_is_not_the_usual_one(tmp_path):
    digits = load_data("digits")
    cubic = digits.prepared(Preparation((0.5,), (0.25,), "bicubic", 0.9))
    for name, data in (("usual", digits), ("cubic", cubic)):
        save_dataset(data, tmp_path / f"{name}.safetensors")
        assert load_data(tmp_path / f"{name}.safetensors").preprocess == data.preprocess
    assert b"interpolation" not in (tmp_path / "usual.safetensors").read_bytes()[:4096]
