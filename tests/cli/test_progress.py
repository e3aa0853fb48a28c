import io
import logging

from rich.console import Console

from narsfast.cli import _progress


def test_without_a_terminal_there_is_a_line_per_fifth(capsys):
    with _progress.progress_bars() as report:
        for done in range(101):
            report("train", done, 100)
        report("train", 100, 100)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" after")[0] for line in lines] == [f"train: {n}%" for n in (20, 40, 60, 80, 100)]
    assert "left" in lines[0]
    assert "left" not in lines[-1]


def test_the_time_left_is_by_what_was_done_since_the_stage_began(capsys, monkeypatch):
    clock = iter((0.0, 10.0, 20.0))
    monkeypatch.setattr(_progress.time, "monotonic", lambda: next(clock))
    with _progress.progress_bars() as report:
        for done in (2, 3, 4):  # two were kept from before
            report("train", done, 4)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["train: 50% after 0 s", "train: 75% after 10 s, 10 s left", "train: 100% after 20 s"]


def test_on_a_terminal_there_is_a_bar_with_the_time_left(monkeypatch):
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=100)
    monkeypatch.setattr("rich.console.Console", lambda **_: terminal)
    with _progress.progress_bars() as report:
        report("train", 1, 4)
        report("evolve", 1, 1)
    text = screen.getvalue()
    assert "train" in text
    assert "25%" in text
    assert "left" in text
    assert "100%" in text


def test_what_is_logged_is_shown_while_a_stage_runs(capsys):
    log = logging.getLogger("narsfast.data")
    with _progress.progress_bars():
        log.info("loader: auto is %s", "[torchvision]")
    log.info("later")
    assert capsys.readouterr().err == "narsfast: loader: auto is [torchvision]\n"
