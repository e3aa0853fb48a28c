"""Types of the compiled module (csrc/bindings)."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from narsfast.ops._arguments import ExciteArgs, LaunchContext, NormArgs, NormSums, WindowArgs
from narsfast.predictor import PredictorWeights, ProcessWeights
from narsfast.space import SpaceTables

# Instruction sets, random numbers, scratch memory
def isa() -> str: ...
def isas() -> list[str]: ...
def philox(seed: int, purpose: int, counters: NDArray[np.uint32]) -> NDArray[np.uint32]: ...
def scratch_left(sizes: Sequence[int]) -> list[int]: ...

# Rows and statistics
def lower(tables: SpaceTables, genes: NDArray[np.int16]) -> tuple[NDArray[np.int32], NDArray[np.int32]]: ...
def count(
    header: NDArray[np.int32], rows: NDArray[np.int32], in_chans: int, num_classes: int
) -> NDArray[np.int64]: ...

class NetworkCounter:
    def __init__(self, tables: SpaceTables, in_chans: int, num_classes: int) -> None: ...
    def count_int64(self, genes: NDArray[np.int16]) -> NDArray[np.int64]: ...
    def count_float64(self, genes: NDArray[np.int16]) -> NDArray[np.float64]: ...
    def add_cost(self, cost: NDArray[np.float64]) -> None: ...
    @property
    def parts(self) -> NDArray[np.int32] | None: ...

class PartCounter:
    def __init__(
        self,
        tables: SpaceTables,
        parts: NDArray[np.int32],
        terms: NDArray[np.int32],
        gates: NDArray[np.int32],
        entries: NDArray[np.float64],
        largest: int,
    ) -> None: ...
    def count(self, genes: NDArray[np.int16]) -> NDArray[np.float64]: ...

# Predictor, process and evolution
class Surrogate:
    @property
    def isa(self) -> str: ...
    def score(
        self, genes: NDArray[np.int16], statistics: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...

class Predictor(Surrogate):
    def __init__(self, tables: SpaceTables, weights: PredictorWeights) -> None: ...

class Process(Surrogate):
    def __init__(self, tables: SpaceTables, weights: ProcessWeights) -> None: ...

class Mixture(Surrogate):
    def __init__(self, parts: Sequence[Surrogate], shares: Sequence[float]) -> None: ...

def evolve(
    tables: SpaceTables,
    sources: Sequence[
        NetworkCounter | PartCounter | NDArray[np.float64] | Callable[[NDArray[np.int16]], NDArray[Any]]
    ],
    num_statistics: int,
    scorer: Surrogate | Callable[[NDArray[np.int16]], NDArray[Any]],
    predictor_columns: Sequence[int],
    caution: float,
    bounds: Sequence[Sequence[tuple[int, float, float]]],
    starts: Sequence[NDArray[np.int16]],
    *,
    objectives: Sequence[int],
    seed: int,
    population_size: int,
    children: int,
    generations: int,
    epsilon: float,
    patience: int,
    crossover: float,
    mutation: float,
) -> list[dict[str, Any]]: ...
def child_words(
    seed: int, purpose: int, child: int, parent: int, generation: int, blocks: int
) -> NDArray[np.uint32]: ...

# Depthwise squeeze-excite: the operators of narsfast/ops/_library.py
def cuda_built() -> bool: ...
def cuda_architectures() -> str: ...
def has_cuda() -> bool: ...
def views(tensor: Tensor) -> tuple[tuple[Any, ...], tuple[Any, ...]]: ...
def depthwise_moments(y: Tensor, launch: LaunchContext) -> tuple[Tensor, Tensor]: ...
def depthwise_convolve(
    x: Tensor, kernel: Tensor, input_norm: NormArgs | None, window: WindowArgs, launch: LaunchContext
) -> tuple[Tensor, Tensor, Tensor]: ...
def depthwise_normalize(
    y: Tensor, norm: NormArgs, excite: ExciteArgs | None, launch: LaunchContext
) -> list[Tensor]: ...
def depthwise_reduce(
    d_out: Tensor,
    y: Tensor,
    norm: NormArgs,
    state: Tensor | None,
    excite: ExciteArgs | None,
    launch: LaunchContext,
) -> list[Tensor]: ...
def depthwise_norm_gradient(
    d_out: Tensor, y: Tensor, norm: NormArgs, sums: NormSums, launch: LaunchContext
) -> Tensor: ...
def depthwise_convolve_gradient(
    d_out: Tensor,
    y: Tensor,
    norm: NormArgs,
    state: Tensor | None,
    d_pooled: Tensor | None,
    gate: str,
    sums: NormSums,
    x: Tensor,
    kernel: Tensor,
    input_norm: NormArgs | None,
    input_count: float | None,
    window: WindowArgs,
    launch: LaunchContext,
) -> list[Tensor]: ...
def depthwise_infer(
    x: Tensor,
    kernel: Tensor,
    input_norm: NormArgs | None,
    norm: NormArgs,
    excite: ExciteArgs | None,
    window: WindowArgs,
    launch: LaunchContext,
) -> Tensor: ...

# Optimizer: groups and tensors as in csrc/optimizer/rmsprop.h
def rmsprop(
    groups: Sequence[tuple[float, float, float, float, float]],
    tensors: Sequence[tuple[int, int, int, int, int, int, int]],
    ema_decay: float,
    stream: int | None,
) -> None: ...
