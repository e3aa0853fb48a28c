"""Importing `bench` finds an installed narsfast, or ends in a sentence."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bench


@pytest.fixture
def source(tmp_path):
    """Make a source folder with the package `bench` and a narsfast without its compiled module."""
    (tmp_path / "source" / "bench").mkdir(parents=True)
    (tmp_path / "source" / "narsfast").mkdir()
    shutil.copy(bench.__file__, tmp_path / "source" / "bench")
    (tmp_path / "source" / "bench" / "timer.py").write_text("import narsfast\nprint(narsfast.__file__)\n")
    (tmp_path / "source" / "narsfast" / "__init__.py").touch()
    return tmp_path / "source"


@pytest.fixture
def install(tmp_path):
    """Make a folder with a narsfast that has its compiled module."""
    (tmp_path / "install" / "narsfast").mkdir(parents=True)
    for name in ("__init__.py", "_native.py"):
        (tmp_path / "install" / "narsfast" / name).touch()
    return tmp_path / "install"


def python(source, *command, path=""):
    """Run an interpreter without site packages, where narsfast may be installed, in the source folder."""
    environment = {**os.environ, "PYTHONPATH": str(path)}
    return subprocess.run(
        [sys.executable, "-S", *command],
        cwd=source,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_missing_install_ends_in_one_sentence(source):
    done = python(source, "-m", "bench.timer")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "install it with `pip install .`" in done.stderr
    assert done.stdout == ""


def test_source_without_any_narsfast_ends_in_one_sentence(source):
    shutil.rmtree(source / "narsfast")
    assert python(source, "-m", "bench.timer").stderr.startswith("narsfast has no compiled module here")


def test_install_goes_before_sources(source, install):
    done = python(source, "-m", "bench.timer", path=install)
    assert Path(done.stdout.strip()).parents[1] == install


def test_compiled_sources_stay_first(source, install):
    (source / "narsfast" / "_native.py").touch()
    done = python(source, "-m", "bench.timer", path=install)
    assert Path(done.stdout.strip()).parents[1] == source


def test_spawned_process_finds_bench_and_the_install(source, install):
    (source / "bench" / "timer.py").write_text(
        "import narsfast\n\ndef where():\n    return narsfast.__file__\n"
    )
    (source / "bench" / "spawner.py").write_text(
        "from multiprocessing import get_context\nfrom bench.timer import where\n"
        "if __name__ == '__main__':\n"
        "    with get_context('spawn').Pool(1) as pool:\n        print(pool.apply(where))\n"
    )
    done = python(source, "-m", "bench.spawner", path=install)
    assert Path(done.stdout.strip()).parents[1] == install
