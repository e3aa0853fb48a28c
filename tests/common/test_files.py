import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from narsfast.common import files, refusals
from narsfast.common.files import (
    expanded,
    output_path,
    remove_partial,
    replacing,
    replacing_directory,
    write_file,
)
from narsfast.errors import UserError


def test_write_file(tmp_path):
    file = tmp_path / "recipe.json"
    write_file(file, "größe")
    assert file.read_bytes() == "größe".encode()
    write_file(file, b"\0\1")
    assert file.read_bytes() == b"\0\1"
    assert os.listdir(tmp_path) == ["recipe.json"]


def test_the_old_content_stays_until_the_block_ends_well(tmp_path):
    file = tmp_path / "weights.safetensors"
    write_file(file, "old")
    with replacing(file) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".safetensors"
        temporary.write_text("new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    with pytest.raises(ZeroDivisionError), replacing(file) as temporary:
        temporary.write_text(f"half {1 / 0}")
    assert file.read_text() == "new"
    assert os.listdir(tmp_path) == ["weights.safetensors"]


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "nothing"):
        pass
    assert os.listdir(tmp_path) == []


def test_the_folder_appears_with_everything_in_it(tmp_path):
    target = tmp_path / "runs" / "a [1]"
    with replacing_directory(target) as folder:
        (folder / "x").write_text("1")
        assert not target.exists()
    assert (target / "x").read_text() == "1"
    assert [path.name for path in target.parent.iterdir()] == ["a [1]"]


def test_an_error_leaves_the_earlier_folder(tmp_path):
    target = tmp_path / "a"
    with replacing_directory(target) as folder:
        (folder / "x").write_text("old")

    def write_half():
        with replacing_directory(target) as folder:
            (folder / "x").write_text("new")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_half()
    assert (target / "x").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_new_folder_replaces_the_earlier_one_whole(tmp_path):
    target = tmp_path / "a"
    with replacing_directory(target) as folder:
        (folder / "old").touch()
    with replacing_directory(target) as folder:
        (folder / "new").touch()
    assert [path.name for path in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


KILLED = """
import os, signal, sys
from pathlib import Path
from narsfast.common.files import replacing_directory
with replacing_directory(Path(sys.argv[1])) as folder:
    (folder / "half").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_leaves_nothing_under_the_name_and_is_cleaned_up(tmp_path):
    target = tmp_path / "a"
    command = [sys.executable, "-c", KILLED, str(target)]
    ended = subprocess.run(command, cwd=tmp_path, env=os.environ, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not target.exists()
    assert len(list(tmp_path.iterdir())) == 1
    remove_partial(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_files_are_as_readable_as_the_umask_says(tmp_path):
    file = tmp_path / "a"
    with replacing(file) as temporary:
        temporary.touch(mode=0o600)
    mask = os.umask(0)
    os.umask(mask)
    assert file.stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_folder_that_cannot_take_the_name_leaves_the_earlier_one(tmp_path, monkeypatch):
    target = tmp_path / "a"
    with replacing_directory(target) as folder:
        (folder / "old").touch()
    rename = type(target).rename

    def refuse(self, other):
        if self.name.startswith(".partial") and not (self / "old").exists():
            raise OSError("no")
        return rename(self, other)

    monkeypatch.setattr(type(target), "rename", refuse)
    with pytest.raises(OSError, match="no"), replacing_directory(target) as folder:
        (folder / "new").touch()
    assert [path.name for path in target.iterdir()] == ["old"]


def test_home_of_nobody_stays_as_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/photos") == tmp_path / "photos"
    assert expanded("~nobody-of-that-name/photos") == Path("~nobody-of-that-name/photos")


def test_output_goes_to_no_folder_named_after_nobody(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert output_path("~/runs") == tmp_path / "runs"
    with pytest.raises(UserError, match="name of no user here; give an absolute path"):
        output_path("~nobody-here/runs")


@pytest.fixture
def journal(monkeypatch):
    """Note what is synchronized and what is renamed, in order."""
    seen = []
    fsync, replace, rename = os.fsync, os.replace, Path.rename

    def note_fsync(descriptor):
        seen.append(("fsync", Path(os.readlink(f"/proc/self/fd/{descriptor}")).name.rpartition("-")[2]))
        fsync(descriptor)

    def note_replace(source, target):
        seen.append(("rename", Path(target).name))
        replace(source, target)

    def note_rename(source, target):
        seen.append(("rename", Path(target).name.rpartition("-")[2]))
        return rename(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    monkeypatch.setattr(Path, "rename", note_rename)
    return seen


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, journal):
    write_file(tmp_path / "a", "content")
    assert journal == [("fsync", "a"), ("rename", "a"), ("fsync", tmp_path.name.rpartition("-")[2])]


def test_all_of_a_folder_is_on_the_disk_before_it_has_its_name(tmp_path, journal):
    with replacing_directory(tmp_path / "new") as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "x").touch()
        (folder / "y").touch()
    assert [name for what, name in journal if what == "rename"] == ["new"]
    before = journal[: journal.index(("rename", "new"))]
    assert {name for _, name in before} == {"sub", "x", "y", "new"}
    assert journal[-1] == ("fsync", tmp_path.name.rpartition("-")[2])


@pytest.fixture
def refuse(monkeypatch):
    """Make a disk refuse an operation, by the number of its error."""
    refusals.tell_refusal.cache_clear()

    def refuse(where, name, number, only=lambda *_: True):
        known = getattr(where, name)

        def refused(*args, **options):
            if only(*args):
                raise OSError(number, os.strerror(number))
            return known(*args, **options)

        monkeypatch.setattr(where, name, refused)

    return refuse


def is_folder(descriptor):
    return Path(os.readlink(f"/proc/self/fd/{descriptor}")).is_dir()


@pytest.mark.parametrize(
    ("where", "name", "number", "only", "said"),
    [
        (Path, "chmod", errno.EPERM, lambda *_: True, "refuses chmod (Operation not permitted)"),
        (Path, "chmod", errno.ENOTSUP, lambda *_: True, "refuses chmod"),
        (os, "fsync", errno.EINVAL, is_folder, "refuses fsync of a folder (Invalid argument)"),
        (os, "fsync", errno.ENOSYS, lambda *_: True, "refuses fsync (Function not implemented)"),
    ],
)
def test_a_disk_that_refuses_an_operation_is_written_to_all_the_same(
    tmp_path, refuse, caplog, where, name, number, only, said
):
    refuse(where, name, number, only)
    for content in ("a", "b"):
        write_file(tmp_path / "file", content)
        with replacing_directory(tmp_path / "folder") as folder:
            (folder / content).touch()
    assert (tmp_path / "file").read_text() == "b"
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["b"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
    assert caplog.text.count(said) == 1


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EMFILE, errno.ENOSYS])
def test_a_folder_that_cannot_be_renamed_is_copied(tmp_path, refuse, caplog, number):
    refuse(Path, "rename", number)
    for content in ("a", "b"):
        with replacing_directory(tmp_path / "folder") as folder:
            (folder / content).write_text(content)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["b"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert caplog.text.count("refuses to rename a folder") == 1


def test_a_copy_that_fails_leaves_the_earlier_folder(tmp_path, refuse, monkeypatch):
    with replacing_directory(tmp_path / "folder") as folder:
        (folder / "old").touch()
    refuse(Path, "rename", errno.EXDEV)
    copy = shutil.copytree

    def fill_up(source, target):
        if not (Path(source) / "old").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return copy(source, target)

    monkeypatch.setattr(shutil, "copytree", fill_up)
    with pytest.raises(OSError, match="No space"), replacing_directory(tmp_path / "folder") as folder:
        (folder / "new").touch()
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["old"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_disk_that_fails_is_an_error_and_leaves_the_old_content(tmp_path, refuse, number):
    write_file(tmp_path / "file", "old")
    refuse(os, "fsync", number)
    with pytest.raises(OSError, match=os.strerror(number)):
        write_file(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_devices_and_pipes_get_the_content_and_stay(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_file(tmp_path / "pipe", "content")
    assert os.read(reader, 100) == b"content"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()
    with pytest.raises(OSError, match="No space left"):
        write_file("/dev/full", "content")
    assert Path("/dev/full").is_char_device()
    assert os.listdir(tmp_path) == ["pipe"]
    assert not list(Path("/dev").glob(f"{files._PREFIX}*"))
