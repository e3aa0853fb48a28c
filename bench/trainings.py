"""Trainings of one network by one recipe, two at a time: what several scripts compare."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, NamedTuple

from narsfast.arch import NetworkSpec
from narsfast.data import Dataset, shared_data
from narsfast.space import Recipe
from narsfast.training import Training, evaluate, train


class Case(NamedTuple):
    """A training: reference of the network, side of its images in pixels, recipe in JSON types, and on what."""

    model: str
    resolution: int
    recipe: dict[str, Any]
    seed: int
    epochs: int
    data: str


def accuracies(case: Case) -> tuple[float, float]:
    """Validation and test accuracy in percent after one training."""
    data = shared_data(case.data, case.resolution)
    recipe = Recipe.of(case.recipe)
    network = NetworkSpec(case.model, case.resolution)
    result = train(network, recipe, data, case.epochs, case.seed, keep_network=True)
    return judged(result, data, case.resolution)


def judged(result: Training, data: Dataset, resolution: int) -> tuple[float, float]:
    """Validation and test accuracy in percent of what a training kept; a constant guess where it diverged."""
    if result.network is None:
        return data.chance, data.chance
    validation, test = (
        evaluate(result.network, split, resolution, threads=1).accuracy for split in (data.val, data.test)
    )
    return validation, test


def all_accuracies(cases: Iterable[Case], workers: int = 2) -> list[tuple[float, float]]:
    """`accuracies` of each case, in processes with one thread each."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(pool.map(accuracies, cases))
