"""Walking an image folder: links, hidden folders, pipes and folders that cannot be read."""

import os
import socket

import numpy as np
import pytest

from narsfast.data import load_data
from narsfast.data._folder import list_folder
from narsfast.data._folder_options import FolderOptions
from narsfast.data._walk import LEFT_OUT
from narsfast.errors import UserError

from .conftest import write_image

COUNTS = {"cat": 6, "dog": 5}


def names(root, layout="auto"):
    return list_folder(root, FolderOptions(layout)).names


def notes(root):
    return " ".join(list_folder(root, FolderOptions()).notes)


@pytest.mark.parametrize("target", [".", "..", "../..", "../dog", "/"])
@pytest.mark.parametrize("place", ["cat/up", "cat/deep/er/up", "dog/up"])
def test_link_to_what_is_read_anyway_or_holds_the_data_adds_nothing(make_folder, target, place):
    root = make_folder(COUNTS)
    expected = names(root)
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).symlink_to(root / "dog" if target == "../dog" else target, target_is_directory=True)
    if place == "dog/up" and target == "../dog":
        target = "."
    assert names(root) == expected
    assert (
        f"1 link(s) to folders that are read already, or that hold the data, are left out: {place}"
        in notes(root)
    )


def test_two_links_to_the_same_place_end(make_folder):
    """Without a memory of where it was, a walk doubles at every level."""
    root = make_folder(COUNTS)
    for name in ("a", "b", "c"):
        (root / "cat" / name).symlink_to(".", target_is_directory=True)
    assert len(names(root)) == 11


def test_photos_elsewhere_are_read_once_by_any_number_of_links(make_folder, tmp_path):
    root = make_folder(COUNTS)
    for i in range(3):
        write_image(tmp_path / "elsewhere" / "below" / f"{i}.jpg", i)
    (tmp_path / "elsewhere" / "back").symlink_to("..", target_is_directory=True)
    for place in ("cat/more", "cat/again", "dog/more"):
        (root / place).symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    found = names(root)
    assert [name for name in found if "below" in name] == [f"cat/again/below/{i}.jpg" for i in range(3)]
    assert len(found) == 14


def test_link_before_the_real_folder_does_not_take_its_photos(make_folder):
    """What is really in a class belongs to it, though a link from another class is walked first."""
    root = make_folder({"cat": 4, "dog": 3, "dog/puppies": 4})
    (root / "cat" / "link").symlink_to("../dog/puppies", target_is_directory=True)
    assert sum(name.startswith("dog/puppies") for name in names(root)) == 4
    assert not any(name.startswith("cat/link") for name in names(root))


def test_class_folders_may_be_links(make_folder, tmp_path):
    real = make_folder(COUNTS)
    (tmp_path / "linked").mkdir()
    for name in COUNTS:
        (tmp_path / "linked" / name).symlink_to(real / name, target_is_directory=True)
    assert names(tmp_path / "linked") == names(real)


@pytest.mark.parametrize("target", ["cat", "."])
def test_class_folder_that_is_another_is_refused(make_folder, target):
    root = make_folder(COUNTS)
    (root / "copy").symlink_to(target, target_is_directory=True)
    with pytest.raises(
        UserError, match=r"photos/.*is the same folder as .*give each class and split a folder of its own"
    ):
        names(root)


def test_split_that_is_another_is_refused(make_folder):
    root = make_folder({"train/a": 3, "train/b": 3})
    (root / "val").symlink_to("train", target_is_directory=True)
    with pytest.raises(UserError, match="is the same folder as"):
        names(root)


@pytest.mark.parametrize(
    "name", [".ipynb_checkpoints", ".hidden", *sorted(LEFT_OUT - {"thumbs.db"}), "@eaDir", "__MACOSX"]
)
@pytest.mark.parametrize("place", ["", "cat", "cat/deep"])
def test_hidden_and_cache_folders_are_left_out_at_every_level(make_folder, name, place):
    root = make_folder(COUNTS | {"cat/deep": 1})
    expected = names(root)
    write_image(root / place / name / "000.jpg", 5)
    assert names(root) == expected


@pytest.mark.parametrize("name", [".hidden.jpg", "._000.jpg", "Thumbs.db"])
def test_hidden_files_are_left_out_without_a_word(make_folder, name):
    root = make_folder(COUNTS)
    write_image(root / "cat" / "x.png", 1)
    (root / "cat" / "x.png").rename(root / "cat" / name)
    data = load_data(root, 16)
    assert len(data.train) + len(data.val) + len(data.test) == 11
    assert not data.skipped


def test_runs_of_version_0_2_keep_the_hidden_folders_below_classes(make_folder):
    root = make_folder(COUNTS)
    write_image(root / "cat" / ".ipynb_checkpoints" / "0.jpg", 5)
    assert "cat/.ipynb_checkpoints/0.jpg" in names(root, "0.2")


def test_pipes_sockets_and_links_to_nothing_are_named_and_not_opened(make_folder):
    root = make_folder(COUNTS)
    os.mkfifo(root / "cat" / "pipe.jpg")
    (root / "cat" / "gone.jpg").symlink_to("nowhere.jpg")
    (root / "cat" / "self.jpg").symlink_to("self.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        place = os.getcwd()
        os.chdir(root / "dog")  # the path of a socket is short
        server.bind("socket.jpg")
        os.chdir(place)
        data = load_data(root, 16)
    assert {skipped.file: skipped.reason for skipped in data.skipped} == {
        "cat/pipe.jpg": "neither a file nor a folder",
        "cat/gone.jpg": "a link to nothing",
        "cat/self.jpg": "a link that leads back to itself",
        "dog/socket.jpg": "neither a file nor a folder",
    }


@pytest.mark.parametrize("place", ["", "cat", "dog/deep"])
def test_folder_that_cannot_be_read_is_named(make_folder, monkeypatch, place):
    root = make_folder(COUNTS | {"dog/deep": 1})
    scandir, refused = os.scandir, os.path.join(root, place).rstrip("/")

    def failing(path):
        if path == refused:
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr("os.scandir", failing)
    with pytest.raises(
        UserError, match=rf"the folder '{refused}' cannot be read \(Permission denied\); make it readable"
    ):
        load_data(root, 16)


@pytest.mark.parametrize(("code", "stops"), [(5, True), (116, True), (24, True), (13, False), (2, False)])
def test_disk_that_fails_is_not_taken_for_a_bad_file(make_folder, monkeypatch, code, stops):
    """A vanished mount must not leave thousands of photos out; a file that may not be read is skipped by name."""
    root = make_folder(COUNTS)
    real = open

    def failing(file, *rest, **options):
        if str(file).endswith("dog/002.jpg"):
            raise OSError(code, os.strerror(code), file)
        return real(file, *rest, **options)

    monkeypatch.setattr("builtins.open", failing)
    if stops:
        with pytest.raises(UserError, match=r"dog/002.jpg cannot be read \(.*\); see to the disk"):
            load_data(root, 16)
        return
    assert [(skipped.file, skipped.reason) for skipped in load_data(root, 16).skipped] == [
        ("dog/002.jpg", os.strerror(code))
    ]


def test_photos_are_read_in_the_order_of_version_0_2(make_folder, tmp_path):
    """The order decides the splits: files of a folder first, then its folders, links among them."""
    root = make_folder({"cat": 3, "cat/b": 2, "cat/a/x": 2, "dog": 3})
    for i in range(2):
        write_image(tmp_path / "elsewhere" / f"{i}.jpg", i)
    (root / "cat" / "aa").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    walked = []
    for name in ("cat", "dog"):
        for folder, below, files in os.walk(root / name, followlinks=True):
            below.sort()
            walked += [os.path.relpath(os.path.join(folder, file), root) for file in sorted(files)]
    listing = list_folder(root, FolderOptions())
    assert listing.names == walked
    assert listing.labels.tolist() == [0] * 9 + [1] * 3
    assert np.array_equal(listing.stats[:, 0], [(root / name).stat().st_size for name in walked])


def test_deep_folders_are_walked(make_folder):
    root = make_folder(COUNTS)
    deep = root / "cat"
    for _ in range(300):
        deep = deep / "d"
    write_image(deep / "0.jpg", 1)
    assert len(names(root)) == 12
