"""The recipes of CONTRIBUTING.md: their blocks run in order, in one namespace."""

import os
import re
import runpy
import shutil
import subprocess
import sys
import textwrap
from importlib import import_module
from pathlib import Path

import pytest
import torch

from narsfast.report import _page, collect
from narsfast.space import _load, _optimizers, builtin_spaces, load_space
from narsfast.training import build_optimizer

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.M | re.S)
PLACE = re.compile(r"# ([\w/]+\.\w+)\n")


def blocks(section, language):
    """Return file (if the block names one) and code of the blocks of a section."""
    text = re.search(rf"^## {section}\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S)[1]
    found = [textwrap.dedent(code) for _, name, code in BLOCK.findall(text) if name == language]
    assert found
    return [(place[1] if (place := PLACE.match(code)) else None, code) for code in found]


@pytest.fixture(scope="module")
def names():
    """Provide the common namespace of the blocks."""
    return {}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(section, names):
    for _, code in blocks(section, "python"):
        exec(compile(code, section, "exec"), names)


def test_recipe_for_a_space_works(tmp_path, monkeypatch):
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


def test_recipe_for_an_optimizer_works(tmp_path, monkeypatch):
    monkeypatch.setattr(
        _optimizers, "_registry", dict(_optimizers._registry)
    )  # other tests list what is registered
    ((place, code), (_, use)) = blocks("Add an optimizer", "python")
    Path(place).write_text(code)
    names = {}
    exec(compile(use, place, "exec"), names)
    built = build_optimizer(names["recipe"], [torch.ones(3)], [torch.ones(2)])
    assert type(built) is torch.optim.NAdam
    assert built.param_groups[0]["lr"] == pytest.approx(0.002)
    (choice,) = re.findall(r"choices: \[rmsprop, (\S+)\]", TEXT)
    assert Path(choice.partition(":")[0]).name == place


def test_recipe_for_an_executor_passes_the_contract(tmp_path):
    ((_, code),) = blocks("Add an executor", "python")
    tests = ROOT / "tests/runs"
    for name in ("executor_tasks.py", "conftest.py"):
        shutil.copy(tests / name, tmp_path)
    with (tmp_path / "conftest.py").open("a") as conftest:
        conftest.write("from narsfast.common import machine\n\nmachine.RETRY_DELAYS = (0.0, 0.0, 0.0)\n")
    (tmp_path / "background.py").write_text(code)
    contract = (tests / "test_executor.py").read_text(encoding="utf-8")
    known = re.search(r"^EXECUTORS = \{.*\}$", contract, re.M)[0]
    with_ours = 'from background import Background\n\nEXECUTORS = {"background": Background}'
    (tmp_path / "test_executor.py").write_text(contract.replace(known, with_ours))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "background"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 12


def test_recipe_for_a_statistic_works(names):
    run("Add a statistic", names)
    assert names["counter"].names[-1] == "blocks"


@pytest.mark.exports
def test_recipe_for_an_exporter_works(names):
    run("Add a statistic", names)
    run("Add an exporter", names)
    assert Path("model.pt2").exists()


def test_recipe_for_a_section_of_the_report_works(tmp_path, monkeypatch):
    ((place, code),) = blocks("Add a section to the report", "python")
    module = import_module(place.removesuffix(".py").replace("/", "."))
    names = dict(vars(module))
    exec(compile(code, place, "exec"), names)
    monkeypatch.setattr(_page, "SECTIONS", names["SECTIONS"])
    made = runpy.run_path(str(ROOT / "tests/report/conftest.py"))["make_run"](tmp_path / "run")
    page = _page.render_report(collect(made.run), made.run.path, tmp_path / "report.html")
    assert "<h2>How trainings ended</h2>" in page
    assert re.search(r'id="outcomes".*diverged.*1.*ok.*23', page, re.S)
