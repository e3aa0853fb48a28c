"""Search for candidates: Algorithms 1 and 2 of the paper."""

from ._early_stopping import early_stop_epoch
from ._evolve import Evolved, evolve
from ._optimise import Evaluate, Fit, Optimisation, PickedBatch, first_batch, next_batch, optimise
from ._pool import Pool, sample_pool
from ._table import TableCounter

__all__ = [
    "Evaluate",
    "Evolved",
    "Fit",
    "Optimisation",
    "PickedBatch",
    "Pool",
    "TableCounter",
    "early_stop_epoch",
    "evolve",
    "first_batch",
    "next_batch",
    "optimise",
    "sample_pool",
]
