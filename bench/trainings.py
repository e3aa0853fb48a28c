"""Trainings of one network by one recipe, two at a time: what several benchmarks compare."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

from narsfast.arch import NetworkSpec
from narsfast.data import shared_data
from narsfast.space import Recipe
from narsfast.training import evaluate, train


class Case(NamedTuple):
    """A training: of which network, by which recipe, and on what."""

    network: NetworkSpec
    recipe: Recipe
    seed: int
    epochs: int
    data: str


def accuracies(case: Case) -> tuple[float, float]:
    """Train once; return validation and test accuracy in percent, those of a constant guess where it diverged."""
    resolution = case.network.resolution
    data = shared_data(case.data, resolution)
    result = train(case.network, case.recipe, data, case.epochs, case.seed, keep_network=True)
    if result.network is None:
        return data.chance, data.chance
    validation, test = (
        evaluate(result.network, split, resolution, threads=1).accuracy for split in (data.val, data.test)
    )
    return validation, test


def all_accuracies(cases: Iterable[Case], workers: int = 2) -> list[tuple[float, float]]:
    """Return the `accuracies` of each case, computed in processes with one thread each."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(pool.map(accuracies, cases))
