"""What architectures cost: statistics counted without training, and budgets on them."""

from ._budget import Budget, format_number
from ._module import count_module
from ._reference import count_rows_reference
from ._statistics import STATISTICS, Counter, count_definitions

__all__ = [
    "STATISTICS",
    "Budget",
    "Counter",
    "count_definitions",
    "count_module",
    "count_rows_reference",
    "format_number",
]
