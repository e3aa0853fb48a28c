"""Progress where nobody asked for one: bars in a notebook, silence elsewhere."""

import sys
from types import ModuleType

from narsfast.common.progress import notebook_or_silent, silent


class Handle:
    def __init__(self, shown):
        self.shown = shown

    def update(self, bar):
        self.shown.append(bar)


def fake_notebook(monkeypatch, shell, shown):
    def display(bar, display_id):
        assert display_id
        shown.append(bar)
        return Handle(shown)

    ipython, its_display = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = type(shell, (), {})
    its_display.HTML, its_display.display = str, display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", its_display)


def test_notebook_gets_one_bar_per_stage(monkeypatch):
    shown = []
    fake_notebook(monkeypatch, "ZMQInteractiveShell", shown)
    progress = notebook_or_silent()
    progress("train <1>", 1, 4)
    progress("train <1>", 4, 4)
    progress("test", 0, 0)
    assert [text.split("> ")[-1] for text in shown] == [
        "train &lt;1&gt;: 25%",
        "train &lt;1&gt;: 100%",
        "test: 100%",
    ]
    assert "value='0.2500'" in shown[0]


def test_terminal_of_ipython_is_silent(monkeypatch):
    fake_notebook(monkeypatch, "TerminalInteractiveShell", [])
    assert notebook_or_silent() is silent


def test_without_ipython_it_is_silent(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert notebook_or_silent() is silent
