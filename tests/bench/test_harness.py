import json
import os
from pathlib import Path

import pytest

import bench.__main__ as all_scripts
from bench import contention, harness
from bench.contention import BothCores

FIGURES = {"speed": 1.23456, "speed_2_threads": 2.0}
ROWS = [{"what": "one"}, {"what": "two"}]


class Clock:
    """Time that passes only in the calls made by `takes`."""

    def __init__(self):
        self.now = 0.0
        self.order = []

    def takes(self, name, *seconds):
        """A call that takes these seconds in turn, and the last of them ever after."""
        left = list(seconds)

        def call():
            self.order.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return call


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(harness.time, "perf_counter", lambda: clock.now)
    return clock


def test_calls_take_turns(clock):
    harness.take_turns({"a": clock.takes("a", 1.0), "b": clock.takes("b", 1.0)}, rounds=3)
    assert clock.order == ["a", "a", "b", "b", *["a", "b"] * 3]


def test_times_are_medians_of_the_rounds(clock):
    calls = {"a": clock.takes("a", 50.0, 50.0, 1.0, 9.0, 2.0), "b": clock.takes("b", 4.0)}
    assert harness.take_turns(calls, rounds=3) == {"a": 2.0, "b": 4.0}


def test_a_short_call_is_repeated_in_a_round(clock):
    times = harness.take_turns({"a": clock.takes("a", 0.25)}, rounds=2, at_least=1.0)
    assert times == {"a": 0.25}
    assert len(clock.order) == 2 + 2 * 4


def reported(monkeypatch, cores, path):
    monkeypatch.setattr(contention, "check", lambda: cores)
    harness.report(FIGURES, ROWS, path)
    return json.loads(path.read_text())


def test_report_writes_figures_rows_and_machine(monkeypatch, tmp_path, capsys):
    document = reported(monkeypatch, BothCores(1.95), tmp_path / "out.json")
    assert document["figures"] == {"speed": 1.235, "speed_2_threads": 2.0}
    assert document["rows"] == ROWS
    assert document["machine"]["both_cores_speedup"] == 1.95
    assert document["machine"].keys() >= {"cpu", "cores", "isa", "torch", "load"}
    assert "speed_2_threads" in capsys.readouterr().out


def test_contended_rows_are_marked_and_figures_of_two_threads_left_out(monkeypatch, tmp_path, capsys):
    document = reported(monkeypatch, BothCores(1.3), tmp_path / "out.json")
    assert document["figures"] == {"speed": 1.235}
    assert document["rows"] == [{"what": "one", "contended": True}, {"what": "two", "contended": True}]
    assert document["machine"]["both_cores_speedup"] == 1.3
    printed = capsys.readouterr().out
    assert "contended" in printed
    assert "speed_2_threads" not in printed


def test_report_says_why_contention_was_not_measured(monkeypatch, tmp_path):
    document = reported(monkeypatch, BothCores(None, "one core"), tmp_path / "out.json")
    assert document["figures"].keys() == FIGURES.keys()
    assert document["rows"] == ROWS
    assert document["machine"]["both_cores_speedup"] is None
    assert document["machine"]["both_cores_why_not"] == "one core"


@pytest.mark.parametrize(
    ("alone", "together", "speedup", "contended"),
    [([100, 100], 200, 2.0, False), ([80, 120], 170, 1.7, False), ([100, 100], 169, 1.69, True)],
)
def test_contended_under_the_least_speedup(monkeypatch, alone, together, speedup, contended):
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    monkeypatch.setattr(contention, "rates", lambda cores: (alone, together) if cores == [0, 1] else None)
    cores = contention.check()
    assert cores.speedup == speedup
    assert cores.contended == contended


def test_one_core_is_not_measured(monkeypatch):
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    assert contention.check() == BothCores(None, "one core")
    assert not contention.check().contended


def test_a_system_without_pinning_is_not_measured(monkeypatch):
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    cores = contention.check()
    assert cores.speedup is None
    assert "pin" in cores.why_not


def test_rates_of_real_processes():
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("no process can be pinned here")
    alone, together = contention.rates(sorted(os.sched_getaffinity(0))[:2])
    assert min(*alone, together) > 0


@pytest.fixture
def fakes(monkeypatch, tmp_path):
    """Scripts by name and source in place of the real ones."""

    def install(**sources):
        (tmp_path / "bench").mkdir()
        for name, source in sources.items():
            (tmp_path / "bench" / f"{name}.py").write_text(source)
        monkeypatch.setattr(all_scripts, "ROOT", tmp_path)
        monkeypatch.setattr(all_scripts, "SCRIPTS", tuple(sources))

    return install


FAILS = "import sys; print('row of fails'); sys.exit('too wrong to time')"
WORKS = """
import pathlib, sys
print("options", *sys.argv[1:-2])
pathlib.Path(sys.argv[-1]).write_text("figures of works")
"""


def test_a_failing_script_is_named_and_the_others_run(fakes, tmp_path, capfd):
    fakes(fails=FAILS, works=WORKS)
    assert all_scripts.main(["--quick", "--json", str(tmp_path / "out")]) == 1
    printed = capfd.readouterr().out
    order = ["== fails", "row of fails", "fails failed with exit code 1", "too wrong to time"]
    order += ["== works", "options --quick\n", "failed: fails\n"]
    places = [printed.index(text) for text in order]
    assert places == sorted(places)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["works.json"]
    assert (tmp_path / "out" / "works.json").read_text() == "figures of works"


def test_all_scripts_run_without_options(fakes, capfd):
    fakes(works="import sys; print(sys.argv[1:])")
    assert all_scripts.main([]) == 0
    assert capfd.readouterr().out == "== works\n[]\n"


def test_a_script_whose_program_is_missing_is_skipped(fakes, monkeypatch, capfd):
    fakes(needy=FAILS, works="print('done')")
    monkeypatch.setattr(all_scripts, "NEEDS", {"needy": "no-such-program"})
    assert all_scripts.main([]) == 0
    assert capfd.readouterr().out == "== needy\nskipped: no no-such-program on PATH\n== works\ndone\n"


def test_every_script_is_in_the_list():
    files = Path(all_scripts.__file__).parent.glob("*.py")
    scripts = {path.stem for path in files if "\ndef main(" in path.read_text()}
    assert scripts - {"__main__"} == set(all_scripts.SCRIPTS)


def test_a_single_value_has_no_standard_error():
    assert harness.mean_and_error("gap", [2.0]) == {"gap": 2.0}
    assert harness.mean_and_error("gap", [1.0, 3.0]) == {"gap": 2.0, "gap_error": pytest.approx(1.0)}
