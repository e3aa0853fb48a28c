"""Which folders are splits and which are classes, and that nothing is left out without a word."""

import logging
import os
import sys

import pytest

from narsfast.data import load_data
from narsfast.data._layout import SPLIT_NAMES, split_named
from narsfast.errors import UserError

from .conftest import write_image

SIX = {"train/a": 6, "train/b": 6}


def sizes(data):
    return len(data.train), len(data.val), len(data.test)


@pytest.mark.parametrize("name", [name for split in ("val", "test") for name in SPLIT_NAMES[split]])
@pytest.mark.parametrize("write", [str, str.upper])
def test_every_name_of_a_split_is_understood(make_folder, name, write):
    data = load_data(make_folder(SIX | {f"{write(name)}/a": 3, f"{write(name)}/b": 4}), 16)
    assert 7 in sizes(data)[1:]
    assert sum(sizes(data)) == 19


@pytest.mark.parametrize(
    "name", ["train_extra", "train2", "Training", "test-hard", "testing_2", "eval", "holdout", "dev2"]
)
def test_folder_like_a_split_beside_train_is_refused_by_name(make_folder, name):
    root = make_folder(SIX | {f"{name}/a": 3, f"{name}/b": 4})
    with pytest.raises(
        UserError, match=f"has {name} beside 'train', which is not a split that narsfast knows"
    ):
        load_data(root, 16)


@pytest.mark.parametrize("pair", [("dev", "val"), ("test", "testing"), ("valid", "validation")])
def test_two_folders_of_one_split_are_refused(make_folder, pair):
    root = make_folder(SIX | {f"{name}/{label}": 2 for name in pair for label in "ab"})
    with pytest.raises(UserError, match=r"more than one (validation|test) folder: .*; keep one"):
        load_data(root, 16)


def test_other_folder_beside_the_splits_is_named(make_folder, caplog):
    root = make_folder(SIX | {"raw": 2, "labels/x": 1})
    with caplog.at_level(logging.WARNING):
        load_data(root, 16)
    assert "photos: 2 folder(s) beside the splits are not used: labels, raw" in caplog.text


@pytest.mark.parametrize(
    "classes", [("train", "car", "bus"), ("test", "good"), ("train", "test", "val"), ("eval", "dev")]
)
def test_classes_named_like_splits_are_refused_with_the_way_out_and_work_flat(make_folder, classes):
    root = make_folder(dict.fromkeys(classes, 5))
    with pytest.raises(UserError, match="'flat'"):
        load_data(root, 16)
    data = load_data(root, 16, layout="flat")
    assert data.classes == tuple(sorted(classes))
    assert sum(sizes(data)) == 5 * len(classes)


def test_splits_are_asked_for_and_missing(make_folder):
    root = make_folder({"a": 5, "b": 5})
    with pytest.raises(UserError, match="has no folder 'train'; make one, or give another layout"):
        load_data(root, 16, layout="splits")
    assert sizes(load_data(make_folder(SIX), 16, layout="splits")) == sizes(load_data(make_folder(SIX), 16))


def test_unknown_layout_is_refused(make_folder):
    with pytest.raises(UserError, match="layout is 'tree'; it must be one of auto, flat, splits"):
        load_data(make_folder(SIX), 16, layout="tree")


def test_version_0_2_ignored_other_names(make_folder):
    """Its runs keep their splits."""
    root = make_folder({"train/a": 20, "train/b": 20, "dev/a": 3, "dev/b": 4, "train_extra/a": 2})
    assert sizes(load_data(root, 16, layout="0.2")) == (28, 6, 6)


@pytest.mark.parametrize("folders", [{"a": 5, "b": 5}, SIX])
def test_loose_images_are_named_and_other_files_are_not(make_folder, caplog, folders):
    root = make_folder(folders)
    place = root / "train" if folders is SIX else root
    for name in ("x.jpg", "y.PNG", "z.heic", "readme.txt"):
        (place / name).write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        load_data(root, 16)
    where = "train/" if folders is SIX else ""
    assert (
        f"3 image(s) beside the class folders are not used: {where}x.jpg, {where}y.PNG, {where}z.heic"
        in caplog.text
    )
    assert "readme" not in caplog.text


def test_class_of_files_that_cannot_be_read_names_them_with_the_reason(make_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    root = make_folder({"a": 5, "b": 0})
    for i in range(5):
        (root / "b" / f"{i}.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(50))
    with pytest.raises(UserError) as error:
        load_data(root, 16)
    assert "['b'] (5 unreadable file(s) were skipped: b/0.heic (HEIC is read by pillow-heif" in str(
        error.value
    )
    assert "pip install pillow-heif" in str(error.value)
    assert "b/2.heic" in str(error.value)


def test_unreadable_files_of_other_classes_are_not_blamed(make_folder):
    root = make_folder({"a": 5, "b": 0})
    (root / "a" / "x.jpg").write_text("no")
    with pytest.raises(UserError, match=r"no image in class folder\(s\) \['b'\]; add images"):
        load_data(root, 16)


def test_same_classes_are_asked_of_every_split(make_folder):
    root = make_folder(SIX | {"dev/a": 3})
    with pytest.raises(UserError, match=r"dev' differ: only in the first \['b'\]"):
        load_data(root, 16)


@pytest.mark.parametrize(
    ("text", "split"), [("Training", "train"), (" dev ", "val"), ("TESTING", "test"), ("x", None)]
)
def test_splits_of_tables_have_the_same_names(text, split):
    assert split_named(text) == split


def test_file_names_that_are_not_utf_8_work(make_folder, caplog):
    root = make_folder({"a": 5, "b": 5})
    write_image(root / "a" / "x.jpg", 1)
    (root / "a" / "x.jpg").rename(root / "a" / "caf\udce9.jpg")
    (root / "a" / "bad\udcff.jpg").write_text("no")
    (root / "loose\udcfc.jpg").write_text("")
    with caplog.at_level(logging.WARNING):
        data = load_data(root, 16)
    assert sum(sizes(data)) == 11
    caplog.text.encode()  # can be printed
    assert "a/bad\\xff.jpg" in caplog.text
    assert "loose\\xfc.jpg" in caplog.text


@pytest.mark.parametrize("split", ["", "train/"])
def test_class_name_that_is_not_utf_8_is_refused_at_once(make_folder, split):
    root = make_folder({f"{split}caf\udce9": 5, f"{split}tea": 5})
    with pytest.raises(
        UserError, match=r"the class folder 'caf\\xe9', whose name is not UTF-8; rename it"
    ) as error:
        load_data(root, 16)
    str(error.value).encode()


@pytest.mark.parametrize("name", ["photos\udce9", "\udcff.csv", "x\udcff.safetensors"])
def test_data_path_that_is_not_utf_8_is_refused_at_once(tmp_path, name):
    with pytest.raises(UserError, match=r"whose name is not UTF-8; rename") as error:
        load_data(tmp_path / name, 16)
    str(error.value).encode()


@pytest.mark.parametrize("name", ["b\udcc3\udca4ume", "\udce6\udca3\udcae.csv"])
def test_names_that_only_the_locale_makes_unreadable_are_not_blamed(tmp_path, name):
    """As Python gives names in an ASCII locale without its UTF-8 mode."""
    read = os.fsencode(name).decode()
    with pytest.raises(
        UserError, match=f"{read}', but Python reads names as .* here; set the variable PYTHONUTF8=1"
    ):
        load_data(str(tmp_path / name), 16)
