"""Conversion of genes to features and back: one-hot and min-max."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ._field import Field


def width(field: Field) -> int:
    """Return the number of feature columns of a field: one per value if categorical, one for a range, none if fixed."""
    return {"categorical": len(field.values), "range": 1, "fixed": 0}[field.kind]


def features_of(
    fields: Sequence[Field],
    columns: NDArray[np.int64],
    genes: NDArray[np.int16],
    active: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Return the features (n, D) float32 of the given columns; those of inactive fields are 0.

    Args:
        fields: F fields.
        columns: (k,) int64, which of the fields.
        genes: (n, F) int16, canonical.
        active: (n, F) bool.
    """
    blocks = []
    for column in columns:
        field, gene, counts = fields[column], genes[:, column], active[:, column]
        if field.kind == "categorical":
            one_hot = gene[:, None] == np.arange(len(field.values))
            blocks.append((one_hot & counts[:, None]).astype(np.float32))
        elif field.kind == "range":
            blocks.append((gene / np.float32(len(field.values) - 1)).astype(np.float32)[:, None])
    return np.concatenate([np.zeros((len(genes), 0), np.float32), *blocks], axis=1)


def genes_of(fields: Sequence[Field], features: NDArray[np.float32]) -> NDArray[np.int16]:
    """Return the genes (n, F) int16 for the features of all fields; inactive fields become 0."""
    genes = np.zeros((len(features), len(fields)), np.int16)
    start = 0
    for column, field in enumerate(fields):
        block = features[:, start : start + width(field)]
        if field.kind == "categorical":
            genes[:, column] = block.argmax(axis=1)
        elif field.kind == "range":
            genes[:, column] = np.rint(block[:, 0] * (len(field.values) - 1))
        start += width(field)
    return genes
