"""Types of the compiled module (csrc/bindings*.cpp)."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narsfast.space import SpaceTables

def abi_version() -> int: ...

# Rows and statistics
def lower(tables: SpaceTables, genes: NDArray[np.int16]) -> tuple[NDArray[np.int32], NDArray[np.int32]]: ...
def count(
    header: NDArray[np.int32], rows: NDArray[np.int32], in_chans: int, num_classes: int
) -> NDArray[np.int64]: ...

class NetworkCounter:
    def __init__(self, tables: SpaceTables, in_chans: int, num_classes: int) -> None: ...
    def whole(self, genes: NDArray[np.int16]) -> NDArray[np.int64]: ...
    def real(self, genes: NDArray[np.int16]) -> NDArray[np.float64]: ...
    def add_cost(self, cost: NDArray[np.float64]) -> None: ...
    @property
    def parts(self) -> NDArray[np.int32] | None: ...

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
    sources: Sequence[NetworkCounter | NDArray[np.float64] | Callable[[NDArray[np.int16]], NDArray[Any]]],
    columns: int,
    scorer: Predictor | Callable[[NDArray[np.int16]], NDArray[Any]],
    predictor_columns: Sequence[int],
    bounds: Sequence[Sequence[tuple[int, float, float]]],
    starts: Sequence[NDArray[np.int16]],
    *,
    objectives: Sequence[int],
    seed: int,
    keep: int,
    children: int,
    generations: int,
    epsilon: float,
    patience: int,
    crossover: float,
    mutation: float,
) -> list[dict[str, Any]]: ...

# Depthwise squeeze-excite: addresses (0 = left out) and sizes, in the order of csrc/depthwise_se/arguments.h
_Norm = tuple[int, int, int, int, float, int]
_Excite = tuple[int, int, int, int, int, int]
_Window = tuple[int, int, int, int, int, int, int]
_Gradient = tuple[int, int, int, int, int, int, float]
_Shape = tuple[int, int, int]
_State = tuple[int, int, int]  # pooled, hidden, gate
_Where = tuple[int, Callable[[int], int]] | None

def cuda_built() -> bool: ...
def cuda_architectures() -> str: ...
def has_cuda() -> bool: ...
def depthwise_convolve(
    dtype: int,
    window: _Window,
    x: int,
    input: _Norm,
    kernel: int,
    y: int,
    mean: int,
    var: int,
    where: _Where,
) -> None: ...
def depthwise_convolve_gradient(
    dtype: int,
    window: _Window,
    gradient: _Gradient,
    norm: _Norm,
    x: int,
    input: _Norm,
    kernel: int,
    out: list[int],
    where: _Where,
) -> None: ...
def depthwise_infer(
    dtype: int,
    window: _Window,
    x: int,
    input: _Norm,
    kernel: int,
    norm: _Norm,
    excite: _Excite,
    out: int,
    where: _Where,
) -> None: ...
def depthwise_moments(dtype: int, shape: _Shape, y: int, mean: int, var: int, where: _Where) -> None: ...
def depthwise_normalise(
    dtype: int,
    shape: _Shape,
    y: int,
    norm: _Norm,
    excite: _Excite,
    out: int,
    state: _State,
    where: _Where,
) -> None: ...
def depthwise_reduce(
    dtype: int,
    shape: _Shape,
    y: int,
    d_out: int,
    norm: _Norm,
    excite: _Excite,
    state: _State,
    out: list[int],
    where: _Where,
) -> None: ...
def depthwise_norm_gradient(
    dtype: int, shape: _Shape, gradient: _Gradient, norm: _Norm, d_y: int, where: _Where
) -> None: ...

# Optimiser: rows as in csrc/optimizer/rmsprop.h
def rmsprop(
    groups: Sequence[tuple[float, float, float, float, float]],
    tensors: Sequence[tuple[int, int, int, int, int, int, int]],
    kept: float,
    stream: int | None,
) -> None: ...
