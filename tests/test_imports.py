"""Directions of imports between packages, read from the sources."""

import ast
import re
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "narsfast"
GROUND = {"common", "errors", "_native"}
ALLOWED = {
    "space": set(),
    "ops": set(),
    "arch": {"space", "ops"},
    "cost": {"space", "arch"},
    "predictor": {"space", "cost"},
    "search": {"predictor", "cost", "space"},
    "data": {"space"},
    "training": {"arch", "data", "space"},
    "runs": set(),
    "emit": {"runs", "arch", "data", "space", "cost"},
    "report": {"runs", "arch", "space", "cost"},
    "pipeline": {
        "arch",
        "cost",
        "data",
        "emit",
        "ops",
        "predictor",
        "report",
        "runs",
        "search",
        "space",
        "training",
    },
    "cli": {"arch", "cost", "data", "pipeline", "report", "runs", "space"},
}
REFERENCES = {"narsfast.cost._reference", "narsfast.search._reference"}
"""Numpy references of native functions, which only tests and benchmarks may import."""


def imported(source: str, module: tuple[str, ...], *, at_start_only: bool = False) -> set[str]:
    """Return the dotted names of narsfast's modules that a file imports; `module` is its path in the package.

    ``from narsfast.a import b`` gives ``narsfast.a`` and ``narsfast.a.b``, which may be a module too.
    """
    found = set()
    tree = ast.parse(source)
    for node in _at_start(tree) if at_start_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            path = node.module.split(".") if node.module else []
            if node.level:
                base = ["narsfast", *module[:-1]]
                path = base[: len(base) - (node.level - 1)] + path
            found.add(".".join(path))
            found |= {".".join([*path, alias.name]) for alias in node.names}
    return {name for name in found if name.startswith("narsfast.")}


def _at_start(tree: ast.Module) -> list[ast.stmt]:
    """Return the import statements at the top level, without those of TYPE_CHECKING and of functions."""
    return [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]


def parts_of(names: set[str]) -> set[str]:
    return {name.split(".")[1] for name in names}


def files() -> dict[str, tuple[Path, tuple[str, ...]]]:
    """Return every file of the package by its dotted name."""
    found = {}
    for file in PACKAGE.rglob("*.py"):
        path = file.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(["narsfast", *path]).removesuffix(".__init__")] = (file, path)
    return found


FILES = files()


def test_every_form_of_import_is_found():
    source = (
        "import narsfast.a\nfrom narsfast import b\nfrom . import c\nfrom .d import x\nfrom ..e import y\n"
        "def f():\n    from narsfast.late import z\n"
    )
    assert parts_of(imported(source, ("search", "_x"))) == {"a", "b", "search", "e", "late"}
    assert parts_of(imported(source, ("search", "_x"), at_start_only=True)) == {"a", "b", "search", "e"}
    assert "narsfast.search.d" in imported(source, ("search", "_x"))


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_packages_import_allowed_packages_only(part):
    for name, (file, path) in FILES.items():
        if name.startswith(f"narsfast.{part}."):
            wrong = (
                parts_of(imported(file.read_text(), path)) - ALLOWED[part] - GROUND - {part, "__version__"}
            )
            assert not wrong, f"{name} must not import {sorted(wrong)}"


def test_allowed_imports_are_acyclic():
    assert [*TopologicalSorter(ALLOWED).static_order()]


def test_allowed_imports_list_every_package():
    parts = {p.stem if p.is_file() else p.name for p in PACKAGE.iterdir() if p.suffix == ".py" or p.is_dir()}
    assert parts - {"__init__", "__main__", "__pycache__"} == set(ALLOWED) | GROUND - {"_native"}


@pytest.mark.parametrize("name", [n for n in FILES if n.split(".")[1:2] in (["common"], ["errors"])])
def test_ground_imports_nothing(name):
    file, path = FILES[name]
    assert parts_of(imported(file.read_text(), path)) <= GROUND - {"_native"}


def test_imports_of_files_are_acyclic():
    """This includes imports inside functions, as code that would need them is in the wrong file."""
    graph = {
        name: {other for other in imported(file.read_text(), path) if other in FILES and other != name}
        for name, (file, path) in FILES.items()
        if file.name != "__init__.py"
    }
    # `from narsfast.space import x` imports the package and none of its files.
    graph = {name: {other for other in others if other in graph} for name, others in graph.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("name", [name for name in FILES if name not in REFERENCES])
def test_production_code_imports_no_reference(name):
    file, path = FILES[name]
    assert not imported(file.read_text(), path) & REFERENCES


def test_references_exist():
    assert set(FILES) >= REFERENCES


def test_top_level_imports_are_dependencies():
    """This concerns top-level imports; functions may import packages of an extra."""
    project = (PACKAGE.parent / "pyproject.toml").read_text()
    (listed,) = re.findall(r"^dependencies = \[(.*?)^\]", project, re.M | re.S)
    dependencies = {name.lower() for name in re.findall(r'"([A-Za-z0-9_-]+)', listed)}
    outside = set()
    for file, _ in FILES.values():
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.Import):
                outside |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                outside.add(str(node.module).partition(".")[0])
    outside -= set(sys.stdlib_module_names) | {"narsfast"}
    names = {"PIL": "pillow", "yaml": "pyyaml", "sklearn": "scikit-learn"}
    assert {names.get(name, name) for name in outside} <= dependencies
