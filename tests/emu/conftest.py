"""Builds the CUDA kernels for the emulator once per session, into a folder that later sessions reuse."""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pybind11
import pytest

ROOT = Path(__file__).parents[2]


def build_emulator(target: str, flags: str = "") -> Path:
    """Return the folder in which `target` of csrc/emu.cmake is built."""
    key = hashlib.sha256(f"{ROOT} {sys.executable} {flags}".encode()).hexdigest()[:12]
    name = f"narsfast_emu_{os.getuid()}_{key}"
    build = Path(os.environ.get("NARSFAST_EMU_BUILD", tempfile.gettempdir())) / name
    configure = ["cmake", "-S", ROOT, "-B", build, "-DNARSFAST_EMU=ON", "-DNARSFAST_CUDA=OFF"]
    configure += [
        "-DCMAKE_BUILD_TYPE=None",
        f"-DCMAKE_CXX_FLAGS={flags}",
        f"-DPython_EXECUTABLE={sys.executable}",
    ]
    configure += [f"-Dpybind11_DIR={pybind11.get_cmake_dir()}"]
    build.parent.mkdir(parents=True, exist_ok=True)
    with build.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of several processes that test, one builds
        for command in (configure, ["cmake", "--build", build, "--target", target, "--parallel", "2"]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
    return build


@pytest.fixture(scope="session")
def emu():
    if sys.platform != "linux":
        pytest.skip("the emulator is built on Linux")
    if shutil.which("cmake") is None:
        pytest.skip("the emulator is built by cmake, which is not here")
    (module,) = build_emulator("_emu").rglob("_emu*.so")
    spec = importlib.util.spec_from_file_location("_emu", module)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture(autouse=True)
def _plain_options(emu):
    emu.set_options(emu.Options())
    emu.take_counters()
    yield
    emu.set_options(emu.Options())
