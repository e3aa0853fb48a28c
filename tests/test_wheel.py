"""The content of the wheel, and its use without sources. .ci/run provides the wheel that it has built."""

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
    """Run a command outside the sources, without this project's environment variables."""
    hidden = ("PYTHONPATH", "NARSFAST_ISA")
    environment = {name: value for name, value in os.environ.items() if name not in hidden} | more
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Provide the wheel in the folder NARSFAST_WHEELS, or build one, which takes minutes."""
    folder = os.environ.get("NARSFAST_WHEELS")
    if folder is None:
        folder = tmp_path_factory.mktemp("wheels")
        run("bash", ROOT / "docker" / "build-steps.sh", "wheel", folder, cwd=folder)
    (found,) = Path(folder).glob("narsfast-*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Provide an environment with this wheel, which uses the dependencies of the tests' environment."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index")
    run(*pip, wheel, cwd=folder)
    own = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    (Path(own) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


def test_wheel_has_exactly_the_files_of_the_package(wheel):
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


def test_installed_package_works_in_an_empty_folder(installed, tmp_path):
    where = run(installed / "python", "-c", "import narsfast; print(narsfast.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    doctor = json.loads(run(installed / "narsfast", "doctor", "--json", cwd=tmp_path))
    assert doctor["works"]
    zoo = json.loads(run(installed / "narsfast", "zoo", "--json", cwd=tmp_path))
    assert len(zoo) == 20


@pytest.mark.exports
def test_search_works_in_an_empty_folder(installed, tmp_path):
    small = (
        "--pool-size 32 --trials-per-batch 2 --iterations 1 --epochs 1 --final-epochs 1 --ensemble-members 1"
    )
    options = [*small.split(), "--workers", "1", "--budget", "macs=1M", "--out", "found"]
    run(installed / "narsfast", "run", *options, cwd=tmp_path)
    found = json.loads(run(installed / "narsfast", "best", "found", "--json", cwd=tmp_path))
    (row,) = found["results"]
    assert row["budget"] == "macs<=1M"
    assert (tmp_path / row["dir"] / "model.onnx").exists()
    assert (tmp_path / "found" / "report.html").stat().st_size > 0


@pytest.mark.skipif(sys.platform != "linux", reason="auditwheel is for Linux")
def test_repaired_wheel_is_manylinux_without_libgomp(wheel, tmp_path):
    command = re.search(r'^repair-wheel-command = "(.*)"$', PROJECT, re.M)[1]
    path = os.pathsep.join((sysconfig.get_path("scripts"), os.environ["PATH"]))
    run(*shlex.split(command.format(dest_dir=tmp_path, wheel=wheel)), cwd=tmp_path, PATH=path)
    (repaired,) = tmp_path.glob("*.whl")
    assert "manylinux" in repaired.name
    with zipfile.ZipFile(repaired) as archive:
        libraries = [name for name in archive.namelist() if re.search(r"\.so(\.\d+)*$", name)]
    assert [Path(name).parent.name for name in libraries] == ["narsfast"], libraries


def test_wheels_are_built_for_the_supported_pythons():
    versions = re.findall(r"cp3(\d+)-\*", re.search(r'^build = "(.*)"$', PROJECT, re.M)[1])
    assert f"3.{versions[0]}" in re.search(r'^requires-python = ">=(.*)"$', PROJECT, re.M)[1]
    assert list(map(int, versions)) == list(range(10, 15))
