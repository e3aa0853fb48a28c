"""The public names of `import narsfast`, and the time that it takes."""

import inspect
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import narsfast as nf

ROOT = Path(__file__).parent.parent


def python(code, cwd, **options):
    """Run code in a fresh process; not in the source folder, whose narsfast may have no compiled module."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False, **options
    )


def test_import_loads_neither_torch_nor_an_extra(tmp_path):
    """It takes less than 0.1 s of processor time, which does not depend on other processes."""
    code = (
        "import sys, time; start = time.process_time(); import narsfast; end = time.process_time();"
        "print(end - start < 0.1, {'torch', 'numpy', 'timm', 'ray', 'onnx'} & set(sys.modules))"
    )
    done = python(code, tmp_path)
    assert done.stdout.strip() == "True set()", done.stderr


@pytest.mark.parametrize("name", nf.__all__)
def test_every_public_name_exists_and_is_documented(name):
    found = getattr(nf, name)
    assert inspect.getdoc(found) or not callable(found)


def test_dir_shows_public_names_only():
    assert set(dir(nf)) == {*nf.__all__, "__version__"}


@pytest.mark.parametrize("name", [path.name for path in (ROOT / "narsfast").iterdir() if path.is_dir()])
def test_packages_are_attributes(name, monkeypatch):
    """As before anything has imported them; tests/test_imports.py shows that each can be the first."""
    if name == "__pycache__":
        pytest.skip("no package")
    monkeypatch.delitem(vars(nf), name, raising=False)
    assert getattr(nf, name).__name__ == f"narsfast.{name}"


def test_search_and_emit_are_functions_and_packages(tmp_path):
    code = (
        "import inspect, narsfast as nf; from narsfast.search import evolve; from narsfast import search;"
        "print(callable(nf.search), nf.search is search, search.evolve is evolve,"
        " 'budgets' in inspect.signature(nf.search).parameters, callable(nf.emit))"
    )
    assert python(code, tmp_path).stdout.split() == ["True"] * 5


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        nf.nothing  # noqa: B018


def test_import_without_the_compiled_module_states_the_remedy(tmp_path):
    shutil.copytree(
        ROOT / "narsfast", tmp_path / "narsfast", ignore=shutil.ignore_patterns("*.so", "__pycache__")
    )
    code = "import sys; sys.path = [p for p in sys.path if p != {0!r}]; sys.path.insert(0, {1!r}); import narsfast"
    done = python(code.format(str(ROOT), str(tmp_path)), cwd=tmp_path, env={"PATH": "", "PYTHONPATH": ""})
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith("ImportError: ")
    assert "without its compiled module" in last
    assert "pip install -e ." in last


def test_old_names_work_with_a_warning():
    with pytest.warns(FutureWarning, match=r"narsfast.create is now narsfast.create_model"):
        assert nf.create is nf.arch.create
    with pytest.warns(FutureWarning, match="optimise is now optimize"):
        assert nf.pipeline.optimise is nf.optimize
