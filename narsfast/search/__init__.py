"""Search for candidates: Algorithms 1 and 2 of the paper."""

from ._evolve import Evolved, evolve
from ._table import TableCounter

__all__ = ["Evolved", "TableCounter", "evolve"]
