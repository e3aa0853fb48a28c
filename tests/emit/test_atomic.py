import os
import signal
import subprocess
import sys

import pytest

from narsfast.emit import atomic_directory


def test_the_folder_appears_with_everything_in_it(tmp_path):
    target = tmp_path / "runs" / "a [1]"
    with atomic_directory(target) as folder:
        (folder / "x").write_text("1")
        assert not target.exists()
    assert (target / "x").read_text() == "1"
    assert [path.name for path in target.parent.iterdir()] == ["a [1]"]


def test_an_error_leaves_the_earlier_folder(tmp_path):
    target = tmp_path / "a"
    with atomic_directory(target) as folder:
        (folder / "x").write_text("old")

    def write_half():
        with atomic_directory(target) as folder:
            (folder / "x").write_text("new")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_half()
    assert (target / "x").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_new_folder_replaces_the_earlier_one_whole(tmp_path):
    target = tmp_path / "a"
    with atomic_directory(target) as folder:
        (folder / "old").touch()
    with atomic_directory(target) as folder:
        (folder / "new").touch()
    assert [path.name for path in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


KILLED = """
import os, signal, sys
from pathlib import Path
from narsfast.emit import atomic_directory
with atomic_directory(Path(sys.argv[1])) as folder:
    (folder / "half").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_leaves_nothing_under_the_name_and_the_next_emission_cleans_up(tmp_path):
    target = tmp_path / "a"
    ended = subprocess.run([sys.executable, "-c", KILLED, str(target)], env=os.environ, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not target.exists()
    assert len(list(tmp_path.iterdir())) == 1
    with atomic_directory(target) as folder:
        (folder / "whole").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert [path.name for path in target.iterdir()] == ["whole"]
