"""The recipes of CONTRIBUTING.md, followed to the letter: its blocks run in their order, in one namespace."""

import re
import runpy
import shutil
import textwrap
from importlib import import_module
from pathlib import Path

import pytest

from narsfast.report import _page, collect
from narsfast.space import _load, builtin_spaces, load_space

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.M | re.S)
PLACE = re.compile(r"# ([\w/]+\.\w+)\n")


def blocks(section, language):
    """Place in the repository, where the block names one, and code of the blocks of a section."""
    text = re.search(rf"^## {section}\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S)[1]
    found = [textwrap.dedent(code) for _, name, code in BLOCK.findall(text) if name == language]
    assert found
    return [(place[1] if (place := PLACE.match(code)) else None, code) for code in found]


@pytest.fixture(scope="module")
def names():
    """Hold what the blocks have defined so far."""
    return {}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(section, names):
    for _, code in blocks(section, "python"):
        exec(compile(code, section, "exec"), names)


def test_a_space(tmp_path, monkeypatch):
    ((place, text),) = blocks("Add a space", "yaml")
    folder = tmp_path / "builtin"
    shutil.copytree(ROOT / Path(place).parent, folder)
    (folder / Path(place).name).write_text(text)
    monkeypatch.setattr(_load, "_BUILTIN", folder)
    assert Path(place).stem in builtin_spaces()
    space = load_space(Path(place).stem)
    lowest, highest = space.pool["macs"]
    assert all(lowest <= budget["macs"][1] <= highest for budget in space.budgets)
    assert len(space.budgets) >= 3
    assert space.size() == (3 * 2 * 2 * 3 * (1 + 2 * 2 * 3)) * (5 * 2)


def test_a_statistic(names):
    run("Add a statistic", names)
    assert names["counter"].names[-1] == "blocks"


def test_an_exporter(names):
    run("Add a statistic", names)
    run("Add an exporter", names)
    assert Path("model.pt2").exists()


def test_a_section_of_the_report(tmp_path, monkeypatch):
    ((place, code),) = blocks("Add a section to the report", "python")
    module = import_module(place.removesuffix(".py").replace("/", "."))
    names = dict(vars(module))
    exec(compile(code, place, "exec"), names)
    monkeypatch.setattr(_page, "SECTIONS", names["SECTIONS"])
    made = runpy.run_path(str(ROOT / "tests/report/conftest.py"))["make"](tmp_path / "run")
    page = _page.render_report(collect(made.run), made.run.path, tmp_path / "report.html")
    assert "<h2>How trainings ended</h2>" in page
    assert re.search(r'id="outcomes".*diverged.*1.*ok.*23', page, re.S)
