"""Imports go one way: the directions of the design, read from the source."""

import ast
import re
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "narsfast"
LEAVES = {"errors", "trial", "files", "seeds", "progress", "_native"}
ALLOWED = {
    "space": set(),
    "ops": set(),
    "arch": {"space", "ops"},
    "cost": {"space", "arch"},
    "predictor": {"space", "cost"},
    "search": {"predictor", "cost", "space"},
    "data": {"space"},
    "training": {"arch", "data", "space"},
    "runs": {"search", "space"},
    "emit": {"runs", "arch", "data", "space", "cost"},
    "report": {"runs", "space", "cost"},
    "network_source": {"space", "arch", "cost", "data", "training"},
    "config": {"network_source", "space", "arch", "cost", "training"},
    "context": {"config", "network_source", "space", "arch", "cost", "data", "search", "training", "runs"},
    "families": {"context", "network_source", "cost", "predictor", "runs", "search", "space"},
    "finals": set(),
    "baselines": {"context", "network_source", "space", "arch", "cost", "training"},
    "distillation": {"baselines", "config", "context", "network_source", "space", "arch", "training", "emit"},
    "pipeline": {
        "baselines",
        "context",
        "distillation",
        "families",
        "finals",
        "network_source",
        "space",
        "arch",
        "cost",
        "predictor",
        "search",
        "data",
        "training",
        "runs",
        "emit",
        "report",
    },
    "models": {"network_source", "space", "arch", "cost", "data", "training", "emit"},
    "console": set(),
    "cli_options": set(),
    "cli_latency": {"cli_options", "console", "pipeline"},
    "cli_pareto": {"cli_options", "console", "pipeline"},
    "cli_models": {"cli_options", "console", "models"},
    "doctor": {"ops", "space", "cost", "search"},
    "cli_doctor": {"cli_options", "console", "doctor"},
    "cli": {
        "cli_options",
        "cli_doctor",
        "cli_latency",
        "cli_pareto",
        "cli_models",
        "pipeline",
        "console",
        "space",
        "arch",
        "cost",
        "runs",
        "report",
    },
}


def imported_parts(source: str, module: tuple[str, ...]) -> set[str]:
    """Top-level parts of narsfast that a module imports; `module` is its path inside the package."""
    parts = set()
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            path = node.module.split(".") if node.module else []
            if node.level:
                base = ["narsfast", *module[:-1]]
                base = base[: len(base) - (node.level - 1)]
                path = base + path
            names = [path] if len(path) > 1 else [[*path, alias.name] for alias in node.names]
        parts |= {name[1] for name in names if name[0] == "narsfast" and len(name) > 1}
    return parts


def test_the_reader_sees_every_form_of_import():
    source = (
        "import narsfast.a\nfrom narsfast import b\nfrom . import c\nfrom .d import x\nfrom ..e import y\n"
    )
    assert imported_parts(source, ("search", "_x")) == {"a", "b", "search", "e"}


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_directions(part):
    files = [PACKAGE / f"{part}.py"] if (PACKAGE / f"{part}.py").exists() else (PACKAGE / part).rglob("*.py")
    for file in files:
        module = file.relative_to(PACKAGE).with_suffix("").parts
        wrong = imported_parts(file.read_text(), module) - ALLOWED[part] - LEAVES - {part, "__version__"}
        assert not wrong, f"{file.relative_to(PACKAGE)} must not import {sorted(wrong)}"


def test_every_part_is_covered():
    parts = {p.stem if p.is_file() else p.name for p in PACKAGE.iterdir() if p.suffix == ".py" or p.is_dir()}
    assert parts - {"__init__", "__main__", "__pycache__"} <= set(ALLOWED) | LEAVES


def test_leaves_stand_on_nothing():
    for leaf in LEAVES - {"_native"}:
        assert not imported_parts((PACKAGE / f"{leaf}.py").read_text(), (leaf,))


def test_what_is_imported_everywhere_is_a_dependency():
    """Packages that are imported when a module is, and not where one function needs an extra."""
    project = (PACKAGE.parent / "pyproject.toml").read_text()
    (listed,) = re.findall(r"^dependencies = \[(.*?)^\]", project, re.M | re.S)
    dependencies = {name.lower() for name in re.findall(r'"([A-Za-z0-9_-]+)', listed)}
    imported = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(str(node.module).partition(".")[0])
    outside = imported - set(sys.stdlib_module_names) - {"narsfast"}
    names = {"PIL": "pillow", "yaml": "pyyaml", "sklearn": "scikit-learn"}
    assert {names.get(name, name) for name in outside} <= dependencies
