"""What is particular to worker processes: their number, environment, and end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import executor_tasks as tasks
import pytest

from narsfast.errors import UserError
from narsfast.runs import Processes
from narsfast.runs._processes import visible_gpus


def test_workers_start_when_needed_and_stay():
    with Processes(2, gpus=0) as executor:
        first = executor.submit(tasks.process_id).result()
        assert first != os.getpid()
        assert {executor.submit(tasks.process_id).result() for _ in range(5)} == {first}
        both = [executor.submit(tasks.environment, (), 0.5) for _ in range(2)]
        assert len({future.result()[0] for future in both}) == 2


def test_a_worker_that_died_between_tasks_is_replaced():
    with Processes(1, gpus=0) as executor:
        first = executor.submit(tasks.process_id).result()
        os.kill(first, signal.SIGKILL)
        assert executor.submit(tasks.process_id).result() != first


def test_environment_of_workers(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7,8")
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "CUDA_VISIBLE_DEVICES")
    with Processes(3, threads_per_trial=5, gpus=2) as executor:
        futures = [executor.submit(tasks.environment, names, 1.0) for _ in range(3)]
        seen = [future.result() for future in futures]
    assert len({process for process, _ in seen}) == 3
    assert sorted(values.pop("CUDA_VISIBLE_DEVICES") for _, values in seen) == ["4", "4", "7"]
    assert all(
        values == {"OMP_NUM_THREADS": "5", "MKL_NUM_THREADS": "5", "OMP_WAIT_POLICY": "PASSIVE"}
        for _, values in seen
    )


def test_workers_of_several_gpus_have_them_to_themselves(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    with Processes(2, gpus=4, gpus_per_worker=2) as executor:
        futures = [executor.submit(tasks.environment, ("CUDA_VISIBLE_DEVICES",), 1.0) for _ in range(2)]
        seen = {future.result()[1]["CUDA_VISIBLE_DEVICES"] for future in futures}
    assert seen == {"0,1", "2,3"}


@pytest.mark.parametrize(
    ("count", "variable", "names"),
    [
        (0, None, []),
        (2, None, ["0", "1"]),
        (2, "3,1", ["3", "1"]),
        (0, "", []),
        (1, "GPU-12ab", ["GPU-12ab"]),
    ],
)
def test_visible_gpus(count, variable, names):
    assert visible_gpus(count, variable) == names


def test_what_does_not_pickle_is_an_error_with_its_text():
    with Processes(1, gpus=0) as executor:
        with pytest.raises(RuntimeError, match="TwoArgumentsError: this and that"):
            executor.submit(tasks.fail_unpicklable).result()
        with pytest.raises(Exception, match="pickle"):
            executor.submit(tasks.return_unpicklable).result()
        assert executor.submit(tasks.add, 1, 1).result() == 2


def test_an_exception_carries_the_traceback_of_the_worker():
    with Processes(1, gpus=0) as executor:
        error = executor.submit(tasks.fail, "why").exception()
    assert "executor_tasks.py" in str(error.__cause__)


def test_no_workers():
    with pytest.raises(UserError, match="workers is 0"):
        Processes(0)


# Where the tests run in the background SIGINT is ignored, and children would inherit that.
DRIVER = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)
import executor_tasks as tasks
from narsfast.runs import Processes
with Processes(2, gpus=0) as executor:
    futures = [executor.submit(tasks.note_and_sleep, sys.argv[1]) for _ in range(3)]
    for future in executor.as_completed(futures):
        future.result()
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_the_driver(tmp_path, how):
    driver = start_script(tmp_path, DRIVER, str(tmp_path))
    processes = [int(pid) for note in wait_for_notes(tmp_path, 2) for pid in note.read_text().split()]
    assert all(is_running(pid) for pid in processes)
    begin = time.monotonic()
    driver.send_signal(how)
    _, errors = driver.communicate(timeout=20)
    wait_until_gone(processes)
    assert time.monotonic() - begin < 5
    if how == signal.SIGINT:
        assert errors.count("Traceback") == 1
        assert errors.strip().endswith("KeyboardInterrupt")


def test_idle_workers_end_by_themselves_with_the_driver(tmp_path):
    script = (
        "import executor_tasks as tasks, os\n"
        "from narsfast.runs import Processes\n"
        "executor = Processes(1, gpus=0)\n"
        "print(executor.submit(tasks.process_id).result(), flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    driver = start_script(tmp_path, script)
    output, _ = driver.communicate(timeout=20)
    wait_until_gone([int(output)])


def test_a_script_needs_no_guard_and_keeps_its_standard_output(tmp_path):
    script = (
        "import executor_tasks as tasks\n"
        "from narsfast.runs import Processes\n"
        "with Processes(2, gpus=0) as executor:\n"
        "    executor.submit(tasks.print_line).result()\n"
        "    executor.submit(tasks.warn, 'PIL.Image').result()\n"
        "    executor.submit(tasks.warn, 'PILOT').result()\n"
        "    print(executor.submit(tasks.add, 1, 2).result())\n"
    )
    output, errors = start_script(tmp_path, script).communicate(timeout=20)
    assert output == "3\n"
    assert errors == "a line of a worker\nPILOT.py:1: UserWarning: of PILOT\n"  # of files the driver has told


def test_functions_of_the_main_script_are_refused(tmp_path):
    script = (
        "from narsfast.runs import Processes\n"
        "def local(report): pass\n"
        "with Processes(1) as executor:\n"
        "    executor.submit(local)\n"
    )
    _, errors = start_script(tmp_path, script).communicate(timeout=20)
    assert "UserError: function local is defined in the main script" in errors


def start_script(folder: Path, text: str, *args: str) -> subprocess.Popen[str]:
    script = folder / "driver.py"
    # The path is known inside the driver only, as that of an installed package is: workers must be handed it.
    script.write_text(f"import sys\nsys.path[:] = {sys.path!r}\n{text}")
    return subprocess.Popen(
        [sys.executable, str(script), *args],
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_notes(folder: Path, count: int) -> list[Path]:
    deadline = time.monotonic() + 20
    while len(notes := list(folder.glob("*.pids"))) < count:
        assert time.monotonic() < deadline, "the workers did not start"
        time.sleep(0.02)
    return notes


def wait_until_gone(processes: list[int]) -> None:
    deadline = time.monotonic() + 10
    while left := [pid for pid in processes if is_running(pid)]:
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rsplit(")", 1)[1].split()[0] != "Z" if stat.parent.parent.exists() else True
    except FileNotFoundError:
        return False
