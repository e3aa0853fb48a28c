"""The wheel: what is in it, and that it works where there are no sources. .ci/run hands over the one it has made."""

import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = (ROOT / "pyproject.toml").read_text()

pytestmark = pytest.mark.slow


def run(*command, cwd, **more):
    """Run a command away from the sources, in an environment without this project's variables."""
    hidden = ("PYTHONPATH", "NARSFAST_ISA")
    environment = {name: value for name, value in os.environ.items() if name not in hidden} | more
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel in the folder that NARSFAST_WHEELS names; without it, one is built here, which takes minutes."""
    folder = os.environ.get("NARSFAST_WHEELS")
    if folder is None:
        folder = tmp_path_factory.mktemp("wheels")
        run("bash", ROOT / "docker" / "build-steps.sh", "wheel", folder, cwd=folder)
    (found,) = Path(folder).glob("narsfast-*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """An environment with this wheel alone; the packages that it needs are those of the environment of the tests."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index")
    run(*pip, wheel, cwd=folder)
    own = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    (Path(own) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


def test_every_file_of_the_package_is_in_it_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    files = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "narsfast").rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".so")
    }
    modules = {name for name in names if name.endswith(".so")}
    metadata = {name for name in names if ".dist-info/" in name}
    assert names - metadata - modules == files
    assert [re.sub(r"\..*", "", Path(name).name) for name in modules] == ["_native"]
    assert any(name.endswith("LICENSE") for name in metadata)


def test_the_package_works_from_an_empty_folder(installed, tmp_path):
    where = run(installed / "python", "-c", "import narsfast; print(narsfast.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    doctor = json.loads(run(installed / "narsfast", "doctor", "--json", cwd=tmp_path))
    assert doctor["works"]
    zoo = json.loads(run(installed / "narsfast", "zoo", "--json", cwd=tmp_path))
    assert len(zoo) == 8


def test_a_whole_search_from_an_empty_folder(installed, tmp_path):
    small = (
        "--pool-size 32 --trials-per-batch 2 --iterations 1 --epochs 1 --final-epochs 1 --ensemble-members 1"
    )
    options = [*small.split(), "--workers", "1", "--budget", "macs=1M", "--out", "found"]
    run(installed / "narsfast", "run", *options, cwd=tmp_path)
    found = json.loads(run(installed / "narsfast", "best", "found", "--json", cwd=tmp_path))
    assert [row["budget"] for row in found["results"]] == ["macs<=1M"]
    assert (tmp_path / "found" / "report.html").stat().st_size > 0


@pytest.mark.skipif(sys.platform != "linux", reason="auditwheel is for Linux")
def test_the_repaired_wheel_is_for_many_systems_and_has_no_threads_of_its_own(wheel, tmp_path):
    command = re.search(r'^repair-wheel-command = "(.*)"$', PROJECT, re.M)[1]
    path = os.pathsep.join((sysconfig.get_path("scripts"), os.environ["PATH"]))
    run(*shlex.split(command.format(dest_dir=tmp_path, wheel=wheel)), cwd=tmp_path, PATH=path)
    (repaired,) = tmp_path.glob("*.whl")
    assert "manylinux" in repaired.name
    with zipfile.ZipFile(repaired) as archive:
        libraries = [name for name in archive.namelist() if re.search(r"\.so(\.\d+)*$", name)]
    assert [Path(name).parent.name for name in libraries] == ["narsfast"], libraries


def test_wheels_are_made_for_the_pythons_that_we_name():
    versions = re.findall(r"cp3(\d+)-\*", re.search(r'^build = "(.*)"$', PROJECT, re.M)[1])
    assert f"3.{versions[0]}" in re.search(r'^requires-python = ">=(.*)"$', PROJECT, re.M)[1]
    assert list(map(int, versions)) == list(range(10, 15))
