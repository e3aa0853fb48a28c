"""Types of the compiled module (csrc/bindings.cpp)."""

import numpy as np
from numpy.typing import NDArray

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
