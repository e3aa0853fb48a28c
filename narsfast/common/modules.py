"""Python files of the user, run as modules of their own."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType


def run_file(file: Path) -> ModuleType:
    """Run a Python file and return its module, which is not entered into `sys.modules`.

    Args:
        file: Its name ends in ``.py``.

    Raises:
        Exception: Whatever the file raises, or FileNotFoundError where there is none.
    """
    spec = importlib.util.spec_from_file_location(f"narsfast_file_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
