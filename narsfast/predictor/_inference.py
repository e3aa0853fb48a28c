"""Native inference of every kind of surrogate."""

from __future__ import annotations

from narsfast import _native
from narsfast.space import SpaceTables

from ._weights import MixtureWeights, PredictorWeights, Weights


def native_surrogate(tables: SpaceTables, weights: Weights) -> _native.Surrogate:
    """Return native inference with these weights, for the instruction set that is chosen now."""
    if isinstance(weights, MixtureWeights):
        return _native.Mixture([native_surrogate(tables, part) for part in weights.parts], weights.shares)
    if isinstance(weights, PredictorWeights):
        return _native.Predictor(tables, weights)
    return _native.Process(tables, weights)
