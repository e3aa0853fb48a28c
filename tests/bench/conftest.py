"""Makes `bench` importable by its place.

The root on sys.path would do it too, but hide an installed narsfast, with its compiled module, behind the sources.
"""

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

_SPEC = PathFinder.find_spec("bench", [str(Path(__file__).parents[2])])
sys.modules["bench"] = module_from_spec(_SPEC)
