"""Search for candidates: iterative optimization on a pool (Algorithm 1), then evolution per budget (Algorithm 2).

The idea is FBNetV3's: one predictor picks the candidates to train and then ranks candidates for every budget. The
steps, all values and the names of the two algorithms are this project's choice.
"""

from narsfast.common.callable_package import make_callable
from narsfast.common.trial import Fit

from ._early_stopping import decide_early_stopping, early_stop_epoch
from ._evolve import Evolved, evolve, pareto
from ._extended import ExtendedCounter
from ._halving import Rung, rungs
from ._labels import labels_of
from ._optimize import (
    Evaluate,
    IterativeOptimization,
    Optimization,
    PickedBatch,
    first_batch,
    next_batch,
    optimize,
)
from ._pool import Pool, band_of, sample_bands, sample_pool
from ._standing import Standing, standings
from ._table import TableCounter

__all__ = [
    "Evaluate",
    "Evolved",
    "ExtendedCounter",
    "Fit",
    "IterativeOptimization",
    "Optimization",
    "PickedBatch",
    "Pool",
    "Rung",
    "Standing",
    "TableCounter",
    "band_of",
    "decide_early_stopping",
    "early_stop_epoch",
    "evolve",
    "first_batch",
    "labels_of",
    "next_batch",
    "optimize",
    "pareto",
    "rungs",
    "sample_bands",
    "sample_pool",
    "standings",
]

make_callable(__name__)  # `narsfast.search(...)`
