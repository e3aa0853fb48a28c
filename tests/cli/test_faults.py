"""Troubles of the machine and damaged runs end in one sentence, whatever the command."""

import errno
import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from narsfast import __version__, cli, pipeline
from narsfast.common.trial import Trial
from narsfast.errors import MachineError
from narsfast.runs import RunStore

FULL = OSError(errno.ENOSPC, "No space left on device", "/runs/a/run.db")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            FULL,
            "narsfast: the disk is full (/runs/a/run.db: No space left on device); make room on it, then give",
        ),
        (
            OSError(errno.ENOTCONN, "Transport endpoint is not connected", "/data"),
            "a file cannot be reached (/data:",
        ),
        (
            sqlite3.OperationalError("disk I/O error"),
            "a file cannot be reached (OperationalError: disk I/O error)",
        ),
        (
            MemoryError(),
            "the machine is out of memory (MemoryError); end other programs, or use fewer --workers",
        ),
        (
            MachineError("a worker was lost", "use fewer `workers`"),
            "a worker was lost; use fewer --workers, then",
        ),
    ],
)
def test_trouble_of_the_machine_is_a_sentence(run_narsfast, monkeypatch, tmp_path, error, said):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(pipeline, "open_search", fail)
    monkeypatch.setattr(pipeline, "run", fail)
    for command in ("run", "resume", "optimize"):
        words = ["run", "--out", tmp_path / "a"] if command == "run" else [command, tmp_path / "a"]
        code, out, err = run_narsfast(*words)
        assert (code, out) == (1, "")
        assert said in err
        assert len(err.strip().splitlines()) == 1


def narsfast(*words):
    """Run a command with the standard output as it is; return its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["narsfast", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
    return end.value.code


@pytest.mark.parametrize("words", [["zoo"], ["zoo", "--json"], ["--help"], ["--version"]])
def test_output_that_the_disk_does_not_take_is_a_sentence(monkeypatch, capsys, words):
    with Path("/dev/full").open(
        "w"
    ) as full:  # whose end is like that of the process: nothing is left to write
        monkeypatch.setattr(sys, "stdout", full)
        assert narsfast(*words) == 1
    said = "narsfast: the disk is full (No space left on device); make room on it, then give the same command again\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
def test_closed_streams_lead_nowhere(tmp_path, closed):
    """A file that is opened later must not get the number of a stream that something is written to."""
    code = (
        "import sys; from narsfast.cli import _app; sys.argv = ['narsfast', '--version']\n"
        "try:\n    _app.main()\nexcept SystemExit as end:\n"
        "    print('more'); print('more', file=sys.stderr, flush=True); sys.stdout.flush()\n"
        "    open('said', 'w').write(f'{end.code} {open(\"said\").fileno()} {sys.stdin.read()!r}')"
    )
    environment = os.environ | {"PYTHONPATH": ":".join(filter(None, sys.path))}
    command = ["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, code]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    code, number, read = (tmp_path / "said").read_text().split()
    assert (code in ("0", "None"), int(number) > 2, read) == (True, True, "''")
    assert done.stdout == ("" if " >&-" in f" {closed}" else f"narsfast {__version__}\nmore\n")
    assert done.stderr == ("" if "2>&-" in closed else "more\n")


@pytest.mark.parametrize("words", [["zoo", "--json"], ["--version"]])
def test_output_that_nobody_reads_on_is_nothing_to_tell(monkeypatch, capsys, words):
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(sys, "stdout", os.fdopen(writer, "w"))
    assert narsfast(*words) == 1
    assert capsys.readouterr().err == ""


def test_home_is_where_outputs_go_and_nobody_has_none(run_narsfast, monkeypatch, tmp_path, stored):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    code, out, _ = run_narsfast("report", "~/run", "--out=~/new/page.html")
    assert (code, out) == (0, f"{tmp_path / 'new' / 'page.html'}\n")
    for words, said in (
        (["status", "~nobody-here/run"], ""),
        (["report", stored, "--out=~nobody-here/a.html"], "begins with the name of no user here"),
    ):
        code, _, err = run_narsfast(*words)
        assert code == 1
        assert "~nobody-here" in err
        assert said in err
    assert not any(path.name.startswith("~") for path in tmp_path.iterdir())


def test_outputs_are_refused_before_the_work_or_their_folder_is_made(
    run_narsfast, monkeypatch, tmp_path, stored
):
    monkeypatch.setattr(pipeline, "open_search", lambda *_: pytest.fail("the front was searched"))
    monkeypatch.setattr(pipeline, "measure_latency", lambda *_, **__: pytest.fail("it was measured"))
    (tmp_path / "file").touch()
    for folder in ("/proc/nowhere", tmp_path / "file"):
        for words in (["pareto", stored], ["latency", "measure"], ["report", stored]):
            code, _, err = run_narsfast(*words, "--out", f"{folder}/out.json")
            assert code == 1
            assert f"--out: {folder}/out.json cannot be written" in err
    code, _, err = run_narsfast("latency", "measure", "--out", tmp_path)
    assert (code, "it is a folder" in err) == (1, True)
    run_narsfast("report", stored, "--out", tmp_path / "a" / "b" / "page.html")
    assert (tmp_path / "a" / "b" / "page.html").exists()


SLEEP = """
import sys, time
import narsfast.runs
from narsfast import cli
class Store:
    @staticmethod
    def read(run):
        print("begun", flush=True)
        time.sleep(60)
narsfast.runs.RunStore = Store
sys.argv = ["narsfast", "status", "run"]
cli.main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("first", [False, True], ids=["any", "process 1"])
def test_a_signal_ends_it_with_a_sentence(first, number, tmp_path):
    """The kernel keeps the signal from process 1 of a container where it has no handler."""
    before = ["unshare", "--pid", "--fork", "--kill-child"] if first else []
    if first and subprocess.run([*before, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no process may be the first of its own space here")
    process = sleeping(tmp_path, SLEEP, before)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[0]) if first else process.pid, number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert err == "narsfast: stopped; the same command resumes from here\n"


def test_a_second_signal_ends_it_at_once(tmp_path):
    stubborn = SLEEP.replace(
        """        print("begun", flush=True)
        time.sleep(60)
""",
        """        try:
            print("begun", flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            print("ending", flush=True)
            time.sleep(60)
""",
    )
    assert stubborn != SLEEP
    process = sleeping(tmp_path, stubborn)
    os.kill(process.pid, signal.SIGTERM)
    assert process.stdout.readline() == "ending\n"
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")


def test_under_nohup_it_goes_on_when_the_terminal_is_gone(tmp_path):
    process = sleeping(tmp_path, "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + SLEEP)
    os.kill(process.pid, signal.SIGHUP)
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143


def sleeping(folder, program, before=()):
    """Start a command that sleeps, and wait until it does; what a shell starts in the background ignores Ctrl-C."""
    heard = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    process = subprocess.Popen(
        [*before, sys.executable, "-c", heard + program],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "begun\n"
    return process


def execute(path, *statements):
    with sqlite3.connect(path / "run.db") as database:
        for statement in statements:
            database.execute(statement)
    database.close()


def overwrite(path, content):
    path.write_bytes(content)


def fact(name, value):
    return lambda path: execute(
        path, f"INSERT OR REPLACE INTO facts VALUES ('{name}', '{json.dumps(value)}')"
    )


DEEP = "[" * 100_000
DAMAGE = {
    "database cut short": lambda path: overwrite(path / "run.db", (path / "run.db").read_bytes()[:5000]),
    "database of zeros": lambda path: overwrite(path / "run.db", bytes(20_000)),
    "pages of zeros": lambda path: overwrite(
        path / "run.db", (path / "run.db").read_bytes()[:4096] + bytes(40_000)
    ),
    "table missing": lambda path: execute(path, "DROP TABLE trials"),
    "column missing": lambda path: execute(path, "ALTER TABLE results RENAME COLUMN test TO tested"),
    "results with text": lambda path: execute(path, "UPDATE results SET macs = 'many'"),
    "result outside": lambda path: execute(path, "UPDATE results SET directory = '/etc'"),
    "result without budget": lambda path: execute(path, "UPDATE results SET budget = x'ff00'"),
    "trial that is no JSON": lambda path: execute(path, "UPDATE trials SET curve = '[1.0'"),
    "trial of words": lambda path: execute(path, "UPDATE trials SET curve = '[\"a\"]'"),
    "outcome unknown": lambda path: execute(path, "UPDATE trials SET outcome = 'well'"),
    "member of a list": lambda path: execute(path, "UPDATE members SET recipe = '[1]'"),
    "member too deep": lambda path: execute(path, f"UPDATE members SET genes = '{DEEP}'"),
    "batch of text": lambda path: execute(path, "UPDATE batches SET epochs = 'x'"),
    "never updated": lambda path: execute(path, "DELETE FROM updated"),
    "config no JSON": lambda path: execute(path, "UPDATE config SET value = '{'"),
    "config of other types": lambda path: execute(
        path, "INSERT OR REPLACE INTO config VALUES ('budgets', '5'), ('space', '[]')"
    ),
    "stage a number": fact("stage", 5),
    "chance a word": fact("chance", "high"),
    "families a mapping": fact("families", {"a": 1}),
    "family of nothing": fact("families", [{}]),
    "found of words": fact(
        "families",
        [{"budget": "a", "label": "b", "generations": 1, "candidates": [{"predicted": "x"}]}],
    ),
    "fits a number": fact("fits", 5),
    "baselines of words": fact("baselines", ["a"]),
    "pretraining a list": fact("predictor_pretraining", [1]),
    "statistics of words": fact("statistics", {"a": "b"}),
    "versions a list": fact("versions", [1]),
    "early stop a word": fact("early_stop_epoch", "x"),
    "teacher a list": fact("teacher", [1]),
    "lock a folder": lambda path: ((path / "run.lock").unlink(), (path / "run.lock").mkdir()),
    "emission a list": lambda path: overwrite(path / "family/macs-1M/emission.json", b"[1]"),
    "emission of other types": lambda path: overwrite(
        path / "family/macs-1M/emission.json", b'{"statistics": [1], "onnx": {"status": "equal"}}'
    ),
    "emission too deep": lambda path: overwrite(path / "family/macs-1M/emission.json", DEEP.encode()),
    "emission of long numbers": lambda path: overwrite(path / "family/macs-1M/emission.json", b"1" * 5000),
    "a folder in its place": lambda path: (path / "family/macs-1M/emission.json").mkdir(),
    "database a folder": lambda path: ((path / "run.db").unlink(), (path / "run.db").mkdir()),
    "database a pipe": lambda path: ((path / "run.db").unlink(), os.mkfifo(path / "run.db")),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_to_a_run_ends_in_no_traceback(run_narsfast, stored, damage, monkeypatch, tmp_path):
    monkeypatch.setattr("plotly.offline.get_plotlyjs", str)
    (stored / "family/macs-1M").mkdir(parents=True)
    with RunStore.open(stored, None) as run:
        run.add_trial(Trial("a" * 16, (50.0, 60.0), "ok", 2, 1.0), "search")
    DAMAGE[damage](stored)
    harmless = damage.startswith(("emission", "a folder", "lock"))
    seen = set()
    for words in (
        ["status", stored],
        ["status", stored, "--json"],
        ["best", stored],
        ["best", stored, "--json"],
        ["report", stored, "--out", tmp_path / "page.html"],
        ["backup", stored, tmp_path / "copy.db"],
    ):
        code, _, err = run_narsfast(*words)
        seen.add(code)
        assert code in (0, 1)
        assert len(err.strip().splitlines()) == code, err
        assert err == "" or any(word in err for word in ("is damaged", "cannot be used", "holds no run")), err
    assert seen == {0} if harmless else 1 in seen


@pytest.fixture
def read_only(stored):
    """Provide a run with its log, as a driver that was killed left it, on a disk that cannot be written to."""
    with RunStore.open(stored, None) as run:
        run.facts.stage = "emit"
        files = {name: (stored / name).read_bytes() for name in ("run.db", "run.db-wal")}
    place = stored.parent / "mounted"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        for name, content in files.items():
            (place / name).write_bytes(content)
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_run_on_a_read_only_disk_is_read_with_its_log(run_narsfast, read_only, tmp_path):
    assert "stage: emit" in run_narsfast("status", read_only)[1]
    assert "92.25" in run_narsfast("best", read_only)[1]
    assert run_narsfast("report", read_only, "--out", tmp_path / "page.html")[0] == 0
    assert run_narsfast("backup", read_only, tmp_path / "copy.db")[0] == 0
    code, _, err = run_narsfast("report", read_only)
    assert (code, "report.html cannot be written (Read-only file system)" in err) == (1, True)
    code, _, err = run_narsfast("resume", read_only)
    assert (code, "Read-only file system" in err) == (1, True)
