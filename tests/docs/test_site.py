"""The site: the API reference has every public name."""

import importlib
import os
import pkgutil
import subprocess
import sys
import zlib
from pathlib import Path
from types import ModuleType

import pytest

import narsfast

ROOT = Path(__file__).parents[2]
NO_API = ("cli", "common")
"""Packages that are not part of the API."""


def packages():
    """Return the public modules below narsfast, by name."""
    found = [name for _, name, _ in pkgutil.iter_modules(narsfast.__path__) if not name.startswith("_")]
    return [name for name in found if name not in NO_API]


def public_names(module):
    """Return the names of `__all__`, or else those that are defined in the module."""
    defined = [
        n for n, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__
    ]
    return getattr(module, "__all__", [name for name in defined if not name.startswith("_")])


@pytest.fixture(scope="module")
def documented(tmp_path_factory):
    """Provide the names that the site documents, from the inventory of mkdocstrings."""
    folder = os.environ.get("NARSFAST_SITE")
    if folder is None:
        pytest.importorskip("mkdocs", reason="the site needs the extra docs")
        folder = tmp_path_factory.mktemp("site")
        command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
        subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    content = Path(folder, "objects.inv").read_bytes().split(b"\n", 4)[4]
    return {line.split()[0] for line in zlib.decompress(content).decode().splitlines()}


def place(module, name):
    """Return where a name is documented; for a function that is also a package, where it is defined."""
    value = getattr(module, name)
    return f"narsfast.pipeline.{name}" if isinstance(value, ModuleType) else f"{module.__name__}.{name}"


@pytest.mark.parametrize("package", ["", *packages()])
def test_every_public_name_is_in_the_reference(documented, package):
    module = importlib.import_module(".".join(filter(None, ["narsfast", package])))
    names = public_names(module)
    assert names
    assert [name for name in names if place(module, name) not in documented] == []
