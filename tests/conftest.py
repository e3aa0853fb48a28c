"""Fixtures for the tests of several packages."""

import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

# Makes `bench` importable, also in processes that a test starts. Last, so that an installed narsfast, with its compiled
# module, stays in front of the sources next to `bench`.
sys.path.append(str(Path(__file__).parents[1]))

if "PYTEST_XDIST_WORKER" in os.environ:  # workers share the cores, and torch reads this when it is loaded
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# What takes longest, in order: where workers share the files, it must not be what is left for one of them at the end.
# While one of them builds the emulator for its first file, the other has tests that do not wait for it.
LONGEST = ("test_wheel.py", "emu/test_convolve.py", "pipeline", "docs", "training", "emu", "cost", "bench")

EXPORTING_TORCH = (2, 8)
"""The lowest version with which torch.compile, torch.export and ONNX take this project's modules."""

NETWORKS = """
from torch import nn


def net(num_classes, in_chans):
    return nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(in_chans * 64, num_classes))


def broken(num_classes, in_chans):
    return nn.Sequential(nn.Flatten(), nn.Linear(7, num_classes))
"""

RANK = """
import sys
from pathlib import Path
sys.path.append({tests!r})
from {module} import main
main({rank}, {count}, Path.cwd())
"""


def pytest_collection_modifyitems(items):
    """Begin with the files that take longest; the others keep their order. Skip what an old torch cannot do."""
    if tuple(map(int, version("torch").split(".")[:2])) < EXPORTING_TORCH:
        reason = "torch before {}.{} cannot compile or export these modules".format(*EXPORTING_TORCH)
        for item in items:
            if item.get_closest_marker("exports"):
                item.add_marker(pytest.mark.skip(reason=reason))
    tests = Path(__file__).parent

    def rank(item):
        path = item.path.relative_to(tests)
        found = (rank for rank, part in enumerate(LONGEST) if path.is_relative_to(part))
        return next(found, len(LONGEST))

    items.sort(key=rank)


def _run_ranks(module, folder, count, seconds):
    """Run `main(rank, count, folder)` of a module of the tests in `count` processes, which must succeed in time."""
    environment = {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", **os.environ}
    logs = [(folder / f"{rank}.log").open("w+") for rank in range(count)]
    processes = []
    try:
        for rank, log in enumerate(logs):
            code = RANK.format(tests=str(Path(__file__).parent), module=module, rank=rank, count=count)
            command = [sys.executable, "-c", code]
            processes.append(
                subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
            )
        codes = [process.wait(seconds) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    output = "".join(log.seek(0) or log.read() for log in logs)
    assert codes == [0] * count, output


@pytest.fixture(scope="session")
def run_ranks():
    """Provide `_run_ranks`."""
    return _run_ranks


@pytest.fixture(scope="module")
def without_onnx():
    """Emit without an ONNX file, whose export takes seconds: tests/emit and tests/test_wheel.py look at those files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("narsfast.emit._onnx.missing_packages", lambda: ("onnx",))
        yield


@contextmanager
def _few_steps():
    from narsfast.predictor import _fitting, _pretraining

    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((_pretraining, "SCHEDULE"), (_fitting, "FROZEN"), (_fitting, "UNFROZEN")):
            schedule = getattr(module, name)
            patch.setattr(module, name, replace(schedule, steps=schedule.steps // 10))
        yield


@pytest.fixture
def few_steps():
    """Pretrain and fit predictors in a tenth of their steps, where nothing is asked of their quality."""
    with _few_steps():
        yield


@pytest.fixture(scope="module")
def always_few_steps():
    """Do so in all tests of a module."""
    with _few_steps():
        yield


@pytest.fixture(scope="session")
def few_images(tmp_path_factory):
    """Write a data set file of some digits, on which trainings are short: 320, 100 and 100 images."""
    from narsfast.data import dataset_from, load_data, save_dataset

    digits = load_data("digits")
    splits = []
    for split, count in ((digits.train, 320), (digits.val, 100), (digits.test, 100)):
        indices = np.linspace(0, len(split.labels), count, endpoint=False).astype(int)
        images = [np.asarray(image) for image in split.images.read(indices)]
        splits.append(list(zip(images, split.labels[indices].tolist(), strict=True)))
    file = tmp_path_factory.mktemp("data") / "digits.safetensors"
    save_dataset(dataset_from(*splits, mirror=False), file)
    return str(file)


@pytest.fixture(scope="session")
def smallest(few_images):
    """Provide the options of the smallest run that goes through every stage."""
    return {
        "data": few_images,
        "space": str(Path(__file__).parent / "small.yaml"),
        "pool_size": 64,
        "trials_per_batch": 2,
        "finalists": 1,
        "explore": True,
        "iterations": 1,
        "epochs": 1,
        "final_epochs": 2,
        "ensemble_members": 1,
        "seed": 5,
    }


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch):
    """Try again at once what the machine could not do."""
    monkeypatch.setattr("narsfast.common.machine.RETRY_DELAYS", (0.0, 0.0, 0.0))


@pytest.fixture
def run_narsfast(capsys, monkeypatch):
    """Run a command in this process: exit code, stdout, stderr."""
    from narsfast import cli

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["narsfast", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def networks(tmp_path_factory):
    """Write a file with two factories of networks: `net` for the digits, and `broken`, which fits no image."""
    file = tmp_path_factory.mktemp("networks") / "networks.py"
    file.write_text(NETWORKS)
    return str(file)
