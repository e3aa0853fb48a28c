"""Files, names and imports in ARCHITECTURE.md are those of the repository."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
PATH = re.compile(r"`((?:\.ci|bench|csrc|docker|docs|narsfast|tests)/[\w./-]*)`")
STEP = re.compile(r"^\| [^|]+ \| ((?:`[\w./]+`(?:, )?)+) \| ((?:`\w+`(?:, )?)*) ?\|$", re.M)
STEPS = [
    (re.findall(r"`(.*?)`", files), re.findall(r"`(\w+)`", names)) for files, names in STEP.findall(TEXT)
]


def layout():
    """Yield the files and folders of the tree, by their indentation."""
    folder = ""
    for line in re.search(r"```text\n(.*?)```", TEXT, re.S)[1].splitlines():
        name = line.split()[0]
        if not line.startswith(" "):
            folder = name if name.endswith("/") else ""
            yield name
        else:
            yield folder + name


@pytest.mark.parametrize("path", sorted({*PATH.findall(TEXT), *layout()}))
def test_paths_exist(path):
    assert (ROOT / path).exists()


def test_layout_has_every_package():
    here = {
        f"narsfast/{path.name}/" for path in (ROOT / "narsfast").iterdir() if (path / "__init__.py").exists()
    }
    native = {f"csrc/{path.name}/" for path in (ROOT / "csrc").iterdir() if path.is_dir()}
    assert here | native <= set(layout())


@pytest.mark.parametrize(("files", "names"), STEPS, ids="-".join)
def test_files_of_a_step_define_its_names(files, names):
    source = "\n".join((ROOT / file).read_text(encoding="utf-8") for file in files)
    for name in names:
        assert re.search(rf"^ *(?:def|class) {name}\b", source, re.M), name


def test_steps_are_found():
    assert len(STEPS) > 30


def test_imports_are_the_allowed_ones():
    allowed = runpy.run_path(str(ROOT / "tests/test_imports.py"))["ALLOWED"]
    rows = re.findall(r"^\| `(\w+)` \| ((?:`\w+`(?:, )?)*) ?\|$", TEXT.partition("## Imports")[2], re.M)
    assert {package: set(re.findall(r"`(\w+)`", names)) for package, names in rows} == allowed
