"""Trainings of one network by one recipe, two at a time: what several benchmarks compare."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, NamedTuple

from narsfast.data import shared_data
from narsfast.space import Recipe
from narsfast.training import evaluate, train_model


class Case(NamedTuple):
    """A training: reference of the network, side of its images in pixels, recipe in JSON types, and on what."""

    model: str
    resolution: int
    recipe: dict[str, Any]
    seed: int
    epochs: int
    data: str


def accuracies(case: Case) -> tuple[float, float]:
    """Train once; return validation and test accuracy in percent, those of a constant guess where it diverged."""
    data = shared_data(case.data, case.resolution)
    recipe = Recipe.of(case.recipe)
    result = train_model(case.model, case.resolution, recipe, data, case.epochs, case.seed, keep_network=True)
    if result.network is None:
        return data.chance, data.chance
    validation, test = (
        evaluate(result.network, split, case.resolution, threads=1).accuracy
        for split in (data.val, data.test)
    )
    return validation, test


def all_accuracies(cases: Iterable[Case], workers: int = 2) -> list[tuple[float, float]]:
    """Return the `accuracies` of each case, computed in processes with one thread each."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(pool.map(accuracies, cases))
