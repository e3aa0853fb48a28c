import json
import sys
import tarfile

import pytest

from bench import DATA_VARIABLE, contention, harness
from bench.contention import BothCores

FIGURES = {"speed": 1.23456, "speed_2_threads": 2.0}
ROWS = [{"what": "one"}, {"what": "two"}]


class Clock:
    """Time that passes only in the calls made by `takes`."""

    def __init__(self):
        self.now = 0.0
        self.order = []

    def takes(self, name, *seconds):
        """Return a call that takes these seconds in turn, and from then on the last of them."""
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


def test_take_turns_alternates_calls(clock):
    harness.take_turns({"a": clock.takes("a", 1.0), "b": clock.takes("b", 1.0)}, rounds=3)
    assert clock.order == ["a", "a", "b", "b", *["a", "b"] * 3]


def test_take_turns_returns_medians(clock):
    calls = {"a": clock.takes("a", 50.0, 50.0, 1.0, 9.0, 2.0), "b": clock.takes("b", 4.0)}
    assert harness.take_turns(calls, rounds=3) == {"a": 2.0, "b": 4.0}


def test_short_call_is_repeated_within_its_turn(clock):
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


def test_contended_report_marks_rows_and_omits_two_thread_figures(monkeypatch, tmp_path, capsys):
    document = reported(monkeypatch, BothCores(1.3), tmp_path / "out.json")
    assert document["figures"] == {"speed": 1.235}
    assert document["rows"] == [{"what": "one", "contended": True}, {"what": "two", "contended": True}]
    assert document["machine"]["both_cores_speedup"] == 1.3
    printed = capsys.readouterr().out
    assert "contended" in printed
    assert "speed_2_threads" not in printed


def test_report_tells_why_contention_was_not_measured(monkeypatch, tmp_path):
    document = reported(monkeypatch, BothCores(None, "one core"), tmp_path / "out.json")
    assert document["figures"].keys() == FIGURES.keys()
    assert document["rows"] == ROWS
    assert document["machine"]["both_cores_speedup"] is None
    assert document["machine"]["both_cores_why_not"] == "one core"


@pytest.fixture
def command(monkeypatch):
    """Set the command line and, if it is given, the environment's data folder."""

    def install(*arguments, data=None):
        monkeypatch.setattr(sys, "argv", ["script", *map(str, arguments)])
        monkeypatch.delenv(DATA_VARIABLE, raising=False)
        if data is not None:
            monkeypatch.setenv(DATA_VARIABLE, str(data))

    return install


def test_data_option_goes_before_the_environment(command, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    command("--data", other, data=tmp_path)
    assert harness.arguments(None, data=True).data == other
    command(data=tmp_path)
    assert harness.arguments(None, data=True).data == tmp_path


def test_unnamed_data_ends_in_one_sentence(command):
    command("--quick")
    with pytest.raises(SystemExit) as caught:
        harness.arguments(None, data=True)
    assert str(caught.value) == (
        "this benchmark reads data that narsfast does not bring; "
        "name its folder with --data or the environment variable NARSFAST_BENCH_DATA"
    )


def test_missing_data_folder_ends_in_one_sentence(command, tmp_path):
    command("--data", tmp_path / "none")
    with pytest.raises(
        SystemExit, match=r"the data is '.*none', which is not a folder; name its folder with"
    ):
        harness.arguments(None, data=True)


def test_data_need_not_be_named_where_it_is_not_read(command):
    command()
    assert harness.arguments(None, data=lambda options: options.quick).data is None
    command("--dataset", "d.yaml")
    assert (
        harness.arguments(None, data=True, add=lambda parser: parser.add_argument("--dataset")).data is None
    )


def test_photos_are_a_folder_of_splits_or_in_an_archive(tmp_path):
    (tmp_path / "photos" / "train").mkdir(parents=True)
    with harness.photos(tmp_path / "photos") as folder:
        assert folder == tmp_path / "photos"
    (tmp_path / "data").mkdir()
    with tarfile.open(tmp_path / "data" / harness.PHOTOS, "w:gz") as archive:
        archive.add(tmp_path / "photos", "clothes")
    with harness.photos(tmp_path / "data") as folder:
        assert folder.name == "clothes"
        assert (folder / "train").is_dir()
    assert not folder.exists()


def test_folder_without_photos_ends_in_one_sentence(tmp_path):
    with (
        pytest.raises(SystemExit, match=r"which has neither photos in a folder train nor clothing_small_80"),
        harness.photos(tmp_path),
    ):
        pass


def test_peak_memory_counts_this_process_alone():
    code = (
        "from bench.harness import peak_memory; a = peak_memory(); b = b'x' * 2**28; print(peak_memory() - a)"
    )
    held = b"x" * 2**29  # a child does not start from its parent's memory
    assert int(harness.run_python(code, stdout=-1).stdout) == pytest.approx(2**18, rel=0.2)
    assert len(held) == 2**29


def test_run_python_finds_the_modules_of_this_process(tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("ANSWER = 42\n")
    monkeypatch.syspath_prepend(tmp_path)
    done = harness.run_python("import only_here; print(only_here.ANSWER, *sys.argv[1:])", "x", stdout=-1)
    assert done.stdout == "42 x\n"


def test_mean_and_error_of_one_value_has_no_error():
    assert harness.mean_and_error("gap", [2.0]) == {"gap": 2.0}
    assert harness.mean_and_error("gap", [1.0, 3.0]) == {"gap": 2.0, "gap_error": pytest.approx(1.0)}
