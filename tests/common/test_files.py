import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from narsfast.common.files import expanded, remove_partial, replacing, replacing_directory, write_file


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
