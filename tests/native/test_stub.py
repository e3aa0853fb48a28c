"""The stub of the compiled module has its names, and its functions have their parameters."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import narsfast
from narsfast import _native

PACKAGE = Path(narsfast.__file__).parent
CLASSES = (
    "NetworkCounter",
    "PartCounter",
    "Surrogate",
    "Surrogate.__init__",
    "Predictor",
    "Process",
    "Mixture",
)
UNNAMEABLE = [f"narsfast._native.{name}" for name in CLASSES]
"""Classes whose metaclass is pybind11's, and the constructor of one that has none; a stub cannot say so."""


def stub_functions():
    """Functions of the stub by name, methods as `Class.method`; without properties."""
    found = {}
    for node in ast.parse((PACKAGE / "_native.pyi").read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.ClassDef):
            methods = (part for part in node.body if isinstance(part, ast.FunctionDef))
            found |= {f"{node.name}.{method.name}": method for method in methods if not method.decorator_list}
    return found


def parameters(function):
    """Names that may be given by position, and those that need their name."""
    arguments = function.args
    return [a.arg for a in arguments.posonlyargs + arguments.args], [a.arg for a in arguments.kwonlyargs]


@pytest.mark.parametrize("name", stub_functions())
def test_parameters_are_those_of_the_bindings(name):
    function = _native
    for part in name.split("."):
        function = getattr(function, part)
    signature, _, text = function.__doc__.partition("\n")  # pybind11 writes the signature first
    assert parameters(ast.parse(f"def {signature}: ...").body[0]) == parameters(stub_functions()[name])
    assert text.strip()


def test_names_are_those_of_the_module(tmp_path):
    config, allowed = tmp_path / "mypy.ini", tmp_path / "allowed"
    config.write_text("[mypy]\nfollow_imports = skip\n")  # torch alone takes half a minute
    allowed.write_text("\n".join(UNNAMEABLE))
    command = [sys.executable, "-m", "mypy.stubtest", "narsfast._native"]
    options = ["--mypy-config-file", str(config), "--allowlist", str(allowed)]
    root = str(PACKAGE.parent)
    found_by_mypy = root in sys.path
    environment = os.environ if found_by_mypy else os.environ | {"MYPYPATH": root}
    # Not here, where Python would find the sources before the installed package.
    done = subprocess.run(
        [*command, *options], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
