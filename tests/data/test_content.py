"""What data is made of decides whether it is the same: what changed and what is there twice is named."""

import logging
import os
import shutil

import numpy as np
import pytest

from narsfast.data import content_changes, load_data, save_dataset, shared_data
from narsfast.data._content import Content
from narsfast.data._folder import load_folder
from narsfast.errors import MachineError, UserError

from .conftest import write_image

COUNTS = {"a": 6, "b": 7}
SPLITS = {f"{split}/{label}": 3 for split in ("train", "val", "test") for label in "ab"}


def content(root):
    return load_data(root, 16).content


def swap(root, one, other):
    for source, target in ((one, "x"), (other, one), ("x", other)):
        (root / source).rename(root / target)


def changed(root, change):
    before = content(root)
    change()
    after = content(root)
    return before.fingerprint != after.fingerprint, content_changes(before, after)


def test_place_and_time_do_not_matter(make_folder, tmp_path):
    root = make_folder(COUNTS)
    before = content(root)
    shutil.copytree(root, tmp_path / "copy")
    os.utime(tmp_path / "copy" / "a" / "000.jpg", (1, 1))
    (tmp_path / "copy" / "a" / "notes.txt").write_text("not an image")
    after = content(tmp_path / "copy")
    assert after.fingerprint == before.fingerprint
    assert content_changes(before, after) == []


CHANGES = {
    "added": (lambda root: write_image(root / "a" / "new.jpg", 99), ["1 added: a/new.jpg"]),
    "removed": (lambda root: (root / "b" / "003.jpg").unlink(), ["1 removed: b/003.jpg"]),
    "changed": (lambda root: write_image(root / "b" / "003.jpg", 99), ["1 changed: b/003.jpg"]),
    "relabelled": (
        lambda root: (root / "a" / "001.jpg").rename(root / "b" / "z.jpg"),
        ["1 relabelled: a/001.jpg from a to b"],
    ),
    "renamed": (
        lambda root: (root / "a" / "001.jpg").rename(root / "a" / "0011.jpg"),
        ["1 renamed: a/001.jpg to a/0011.jpg"],
    ),
    "two labels exchanged": (
        lambda root: swap(root, "a/001.jpg", "b/001.jpg"),
        ["2 changed: a/001.jpg, b/001.jpg"],
    ),
    "broken": (lambda root: (root / "a" / "002.jpg").write_bytes(b"x"), ["1 removed: a/002.jpg"]),
    "a class renamed": (
        lambda root: (root / "a").rename(root / "aa"),
        ["6 relabelled: a/000.jpg from a to aa, a/001.jpg from a to aa, a/002.jpg from a to aa and 3 more"],
    ),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_what_changed_is_named(make_folder, kind):
    root = make_folder(COUNTS)
    change, expected = CHANGES[kind]
    assert changed(root, lambda: change(root)) == (True, expected)


def test_image_in_another_split_is_named(make_folder):
    root = make_folder(SPLITS)

    def change():
        (root / "train" / "a" / "000.jpg").rename(root / "test" / "a" / "z.jpg")

    assert changed(root, change) == (True, ["1 in another split: train/a/000.jpg from train to test"])


def test_same_size_time_and_name_do_not_hide_other_pixels(make_folder):
    root = make_folder(COUNTS, "ppm")
    files = [root / "a" / "000.ppm", root / "a" / "001.ppm"]
    before = content(root)
    contents, times = [file.read_bytes() for file in files], [file.stat() for file in files]
    for file, other, time in zip(files, reversed(contents), times, strict=True):
        file.write_bytes(other)
        os.utime(file, ns=(time.st_atime_ns, time.st_mtime_ns))
    after = load_data(root, 16).content
    assert content_changes(before, after) == ["2 changed: a/000.ppm, a/001.ppm"]
    assert shared_data(root, 16).content.fingerprint == after.fingerprint


def test_files_that_did_not_change_are_not_hashed_again(make_folder, tmp_path, monkeypatch):
    root = make_folder(COUNTS)
    known = tmp_path / "known.npz"
    content(root).save(known)
    hashed = []
    monkeypatch.setattr("narsfast.data._decode.digest_of", lambda data: hashed.append(1) or bytes(16))
    again = shared_data(root, 16, known=str(known)).content
    assert not hashed
    write_image(root / "a" / "003.jpg", 99)
    shared_data(root, 16, known=str(known))
    assert len(hashed) == 1
    assert again.fingerprint == Content.load(known).fingerprint


def test_content_comes_back_from_its_file(make_folder, tmp_path):
    root = make_folder(COUNTS)
    (root / "a" / "000.jpg").rename(root / "a" / "caf\udce9.jpg")
    stored = content(root)
    stored.save(tmp_path / "x.npz")
    loaded = Content.load(tmp_path / "x.npz")
    assert loaded.fingerprint == stored.fingerprint
    assert (loaded.names, loaded.classes, loaded.drawn) == (stored.names, stored.classes, stored.drawn)
    assert np.array_equal(loaded.stats, stored.stats)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no archive", None])
def test_file_of_content_that_is_damaged_or_missing_is_done_without(make_folder, tmp_path, damage):
    root, file = make_folder(COUNTS), tmp_path / "known.npz"
    if damage is not None:
        file.write_bytes(damage)
    assert shared_data(root, 24, known=str(file)).content.fingerprint == content(root).fingerprint


def test_second_use_in_one_process_sees_what_is_there_now(make_folder):
    root = make_folder(COUNTS)
    first = shared_data(root, 16)
    assert shared_data(root, 16) is first
    write_image(root / "a" / "003.jpg", 99)
    second = shared_data(root, 16)
    assert second is not first
    assert second.content.fingerprint != first.content.fingerprint
    (root / "a" / "006.jpg").write_bytes((root / "a" / "003.jpg").read_bytes())
    third = shared_data(root, 16)
    assert sum(map(len, (third.train, third.val, third.test))) == 14


def test_data_that_is_not_what_was_expected_is_refused(make_folder):
    root = make_folder(COUNTS)
    expected = shared_data(root, 16)
    fingerprint = expected.content.fingerprint
    assert shared_data(root, 16, content=fingerprint) is expected
    write_image(root / "a" / "003.jpg", 99)
    assert shared_data(root, 16, content=fingerprint) is expected  # as decoded; it is not looked at again
    with pytest.raises(UserError, match=r"photos has changed since the run was started; restore it"):
        shared_data(root, 24, content=fingerprint)


def test_warnings_are_given_once_not_in_every_process(make_folder, caplog):
    root = make_folder(COUNTS)
    (root / "a" / "bad.jpg").write_text("no")
    fingerprint = content(root).fingerprint
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        shared_data(root, 40, content=fingerprint)
        assert not caplog.records
        shared_data(root, 48)
    assert len(caplog.records) == 1


def test_file_that_is_changed_while_it_is_used_is_noticed(make_folder):
    root = make_folder(COUNTS)
    data = load_folder(root, 16, True, cache_bytes=0)
    path = data.train.images._paths[2]
    everything = np.arange(len(data.train))
    os.utime(path, (1, 1))
    data.train.images.read(everything)  # only its time changed
    write_image(path, 99)
    for read in (data.train.images.read, data.train.images.encoded):
        with pytest.raises(
            UserError, match=rf"{path} has changed since it was read at first; restore it"
        ) as error:
            read(everything)
        assert not isinstance(error.value, MachineError)  # waiting does not bring it back


@pytest.mark.parametrize(
    ("harm", "said", "passing"),
    [
        (lambda path: path.unlink(), "No such file", True),
        (lambda path: path.parent.rename(path.parents[2] / "aside"), "No such file", True),
        (lambda path: (path.unlink(), path.mkdir()), "Is a directory", False),
        (lambda path: (path.unlink(), path.symlink_to(path)), "Too many levels of symbolic links", False),
    ],
    ids=["file", "folder", "folder in its place", "link to itself"],
)
@pytest.mark.parametrize("reader", ["read", "encoded"])
def test_photo_that_is_out_of_reach_while_it_is_used_is_trouble_of_the_machine(
    make_folder, reader, harm, said, passing
):
    data = load_folder(make_folder(COUNTS), 16, True, cache_bytes=0)
    path = data.train.images._paths[2]
    harm(path)
    with pytest.raises(
        MachineError, match=rf"{path} .*cannot be read now \({said}.*\); restore it, then"
    ) as error:
        getattr(data.train.images, reader)(np.arange(2, 4))
    assert error.value.passing is passing


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda root: root.rename(root.parent / "aside"), "is not a folder"),
        (lambda root: [path.unlink() for path in root.glob("b/*")], "has no image in class"),
        (lambda root: (shutil.rmtree(root), root.mkdir()), "has no class folders"),
    ],
    ids=["gone", "a class is empty", "an empty place of a mount"],
)
def test_data_that_was_there_and_is_not_is_trouble_of_the_machine(make_folder, harm, said):
    root = make_folder(COUNTS)
    fingerprint = content(root).fingerprint
    harm(root)
    with pytest.raises(UserError, match=said) as error:
        shared_data(root, 16)
    assert not isinstance(error.value, MachineError)
    with pytest.raises(
        MachineError, match=f"could be read when the run was started .*{said}.*restore it, then"
    ):
        shared_data(root, 16, content=fingerprint)


def test_stored_data_set_is_known_by_its_file(make_folder, tmp_path):
    root, file = make_folder(COUNTS), tmp_path / "data.safetensors"
    save_dataset(load_data(root, 16), file)
    first = shared_data(file, 16)
    assert shared_data(file, 16) is first
    moved = shutil.move(file, tmp_path / "moved.safetensors")
    assert load_data(moved, 16).content.fingerprint == first.content.fingerprint
    write_image(root / "a" / "003.jpg", 99)
    save_dataset(load_data(root, 16), file)
    assert content_changes(first.content, load_data(file).content) == ["1 changed: the stored data set"]


def test_copies_across_splits_and_classes_are_counted_and_named(make_folder, caplog):
    root = make_folder(SPLITS)
    image = (root / "train" / "a" / "000.jpg").read_bytes()
    (root / "test" / "a" / "copy.jpg").write_bytes(image)
    (root / "val" / "b" / "copy.jpg").write_bytes(image)
    (root / "train" / "b" / "x.jpg").write_bytes((root / "train" / "a" / "001.jpg").read_bytes())
    (root / "train" / "b" / "harmless.jpg").write_bytes((root / "train" / "b" / "000.jpg").read_bytes())
    with caplog.at_level(logging.WARNING):
        load_data(root, 16)
    assert "1 image(s) are in several splits, and accuracies on validation or test flatter" in caplog.text
    assert "train/a/000.jpg = val/b/copy.jpg = test/a/copy.jpg" in caplog.text
    assert "2 image(s) are in several classes, and no network can tell them apart" in caplog.text
    assert "train/a/001.jpg = train/b/x.jpg" in caplog.text
    assert "harmless.jpg" not in caplog.text


def test_data_without_copies_is_not_spoken_of(make_folder, caplog):
    with caplog.at_level(logging.WARNING):
        load_data(make_folder(SPLITS), 16)
    assert not caplog.records


def test_copies_in_memory_are_named_too(caplog):
    from narsfast.data import dataset_from

    images = [np.full((4, 4), i, np.uint8) for i in range(6)]
    train = [(images[0], 0), (images[1], 1), (images[2], 0)]
    val, test = [(images[0], 0), (images[3], 1)], [(images[2], 1), (images[4], 0)]
    with caplog.at_level(logging.WARNING):
        dataset_from(train, val, test)
    assert "2 image(s) are in several splits" in caplog.text
    assert "train[0] = val[0], train[2] = test[0]" in caplog.text
    assert "1 image(s) are in several classes" in caplog.text
