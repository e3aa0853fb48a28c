"""What tests of several packages share."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def _run_ranks(module, folder, count, seconds):
    """`main(rank, count, folder)` of a module of the tests, in `count` processes at once; all must end well in time."""
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
    said = "".join(log.seek(0) or log.read() for log in logs)
    assert codes == [0] * count, said


@pytest.fixture(scope="session")
def run_ranks():
    """The function above."""
    return _run_ranks


@pytest.fixture(scope="session")
def smallest():
    """Options of the smallest run that goes through every stage, on the digits."""
    return {
        "space": str(Path(__file__).parent / "small.yaml"),
        "pool_size": 64,
        "trials_per_batch": 2,
        "iterations": 1,
        "epochs": 1,
        "final_epochs": 2,
        "ensemble_members": 1,
        "seed": 5,
    }


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
    """A file with the factories of two networks for the digits, `net` and `broken`, which fits no image."""
    file = tmp_path_factory.mktemp("networks") / "networks.py"
    file.write_text(NETWORKS)
    return str(file)
