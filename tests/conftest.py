"""What tests of several packages share."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
