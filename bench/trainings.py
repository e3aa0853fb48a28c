"""Trainings of one network by one recipe, two at a time: what several benchmarks compare."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

from narsfast.arch import NetworkSpec
from narsfast.common.preparation import Preparation
from narsfast.data import shared_data
from narsfast.space import Recipe
from narsfast.training import StartingPoint, evaluate, train


class Case(NamedTuple):
    """A training: of which network, by which recipe, and on what.

    Attributes:
        side: Pixels of the shorter side that the images are read with; 0 is the network's resolution.
        start: Whose weights it starts from; None is fresh ones.
        preparation: How the images are normalized; None is by the data.
    """

    network: NetworkSpec
    recipe: Recipe
    seed: int
    epochs: int
    data: str
    side: int = 0
    start: StartingPoint | None = None
    preparation: Preparation | None = None


def accuracies(case: Case) -> tuple[float, float]:
    """Train once; return validation and test accuracy in percent, those of a constant guess where it diverged."""
    resolution = case.network.resolution
    data = shared_data(case.data, case.side or resolution).prepared(case.preparation)
    result = train(
        case.network, case.recipe, data, case.epochs, case.seed, keep_network=True, start=case.start
    )
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
