"""How large each stage of a network is, as a sum over its genes.

The network learns from pretraining where in an architecture its parameters are; the process reads it. Widths, depth and
expansion are factors of a stage's parameters, so their logarithm is near a sum of one entry per gene (correlations of
0.94 to 1 in the built-in spaces), and inference needs no counting. This is this project's choice.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from narsfast.common.threads import torch_threads
from narsfast.cost import stage_params
from narsfast.space import Genes, Space

from ._metric import codes

MAX_CANDIDATES = 4096
RIDGE = 1e-6
"""Penalty per candidate; entries of a field sum to a constant that is arbitrary without."""


def gene_rows(space: Space, coded: Genes) -> NDArray[np.int64]:
    """Return the rows (n, F) of codes (n, F) in tables with a row per code of every field; see `codes`."""
    first = np.cumsum([0, *(int(size) + 1 for size in space.sizes[:-1])], dtype=np.int64)
    rows: NDArray[np.int64] = first + coded
    return rows


def num_rows(space: Space) -> int:
    """Return the number of rows of such tables."""
    return int(space.sizes.sum()) + len(space.sizes)


def stage_table(space: Space, genes: Genes) -> NDArray[np.float64]:
    """Fit a table (rows, T) whose sums over the rows of a candidate are the standardized sizes of T stages.

    Rows of fields of one value are 0.

    Args:
        space: The space; without stages there are no columns.
        genes: (n, F) canonical, at least one, by which sizes are standardized; stages that do not differ are left out.
    """
    count = num_rows(space)
    if not space.stages:
        return np.zeros((count, 0))
    genes = genes[:MAX_CANDIDATES]
    params = stage_params(space, genes)
    varying = np.flatnonzero((params != params[:1]).any(axis=0))
    logs = np.log1p(params[:, varying] / params[:, varying].mean(axis=0))
    targets = (logs - logs.mean(axis=0)) / logs.std(axis=0)
    entries = np.zeros((len(genes), count))
    rows = gene_rows(space, codes(space, genes))[:, space.sizes > 1]
    entries[np.arange(len(genes))[:, None], rows] = 1
    with torch_threads(1):
        design, wanted = torch.from_numpy(entries), torch.from_numpy(targets)
        normal = design.T @ design + RIDGE * len(genes) * torch.eye(count, dtype=torch.float64)
        fitted: NDArray[np.float64] = torch.linalg.solve(normal, design.T @ wanted).numpy()
    return fitted
