"""The cost of architectures: statistics that are counted without training, and budgets on them."""

from ._budget import Budget, format_number
from ._counter import Counter
from ._counting import stage_params
from ._latency import NO_TABLE, LatencyTable
from ._measure import measure_latency
from ._module import count_module
from ._network import count_network
from ._scale import scale
from ._statistics import LATENCY, STATISTICS, count_definitions, named

__all__ = [
    "LATENCY",
    "NO_TABLE",
    "STATISTICS",
    "Budget",
    "Counter",
    "LatencyTable",
    "count_definitions",
    "count_module",
    "count_network",
    "format_number",
    "measure_latency",
    "named",
    "scale",
    "stage_params",
]
