"""Types of the compiled module (csrc/bindings.cpp)."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narsfast.space import SpaceTables

def abi_version() -> int: ...

# Rows and statistics
def lower(
    numbers: NDArray[np.int32],
    header_columns: NDArray[np.int32],
    stage_columns: NDArray[np.int32],
    genes: NDArray[np.int16],
) -> tuple[NDArray[np.int32], NDArray[np.int32]]: ...
def count(
    header: NDArray[np.int32], rows: NDArray[np.int32], in_chans: int, num_classes: int
) -> NDArray[np.int64]: ...
def count_genes(
    numbers: NDArray[np.int32],
    header_columns: NDArray[np.int32],
    stage_columns: NDArray[np.int32],
    genes: NDArray[np.int16],
    in_chans: int,
    num_classes: int,
) -> NDArray[np.int64]: ...

# Predictor and evolution
def isa() -> str: ...
def isas() -> list[str]: ...
def philox(seed: int, purpose: int, counters: NDArray[np.uint32]) -> NDArray[np.uint32]: ...
def child_words(
    seed: int, purpose: int, child: int, parent: int, generation: int, blocks: int
) -> NDArray[np.uint32]: ...

class Predictor:
    def __init__(self, tables: SpaceTables, weights: Any) -> None: ...
    @property
    def isa(self) -> str: ...
    def score(
        self, genes: NDArray[np.int16], statistics: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...

def evolve(
    tables: SpaceTables,
    source: tuple[int, int] | NDArray[np.float64] | Callable[[NDArray[np.int16]], NDArray[Any]],
    columns: int,
    scorer: Predictor | Callable[[NDArray[np.int16]], NDArray[Any]],
    predictor_columns: Sequence[int],
    bounds: Sequence[Sequence[tuple[int, float, float]]],
    starts: Sequence[NDArray[np.int16]],
    *,
    seed: int,
    keep: int,
    children: int,
    generations: int,
    epsilon: float,
    patience: int,
    crossover: float,
    mutation: float,
) -> list[dict[str, Any]]: ...
