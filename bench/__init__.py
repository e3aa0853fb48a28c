"""Benchmarks: one file per question, and `python -m bench` lists them.

They run from the repository's root, where Python finds the sources of narsfast before an installed narsfast. Unless
these sources are compiled, importing this package makes it take the installed one.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

DATA_VARIABLE = "NARSFAST_BENCH_DATA"
"""The environment variable that names the folder of photos and tabular benchmarks."""
ROOT = Path(__file__).parents[1]

_NOT_COMPILED = (
    "narsfast has no compiled module here; install it with `pip install .` or, to work on the sources, "
    "`pip install -e .`, and run python -m bench again"
)


def _is_compiled() -> bool:
    """Tell whether the narsfast that Python finds has its compiled module, without importing either."""
    package = find_spec("narsfast")
    if package is None:
        return False
    folders = package.submodule_search_locations
    return any(finder.find_spec("narsfast._native", folders) is not None for finder in sys.meta_path)


def _find_install() -> None:
    """Put an installed narsfast before the sources next to this folder, unless those are compiled.

    Raises:
        SystemExit: No narsfast is compiled.
    """
    if not _is_compiled():
        # Moved to the end rather than removed: processes that a benchmark starts must find `bench`.
        sys.path[:] = [*(path for path in sys.path if Path(path).resolve() != ROOT), str(ROOT)]
        if not _is_compiled():
            raise SystemExit(_NOT_COMPILED)


_find_install()
