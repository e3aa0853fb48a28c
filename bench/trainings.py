"""Trainings of one network by one recipe, two at a time: what several benchmarks compare."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from narsfast.arch import NetworkSpec, load_pretrained, save_weights
from narsfast.common.preparation import Preparation
from narsfast.cost import Budget, Counter
from narsfast.data import Dataset, shared_data
from narsfast.pipeline import children_space
from narsfast.pipeline._anchors import whole_resolution
from narsfast.space import Recipe, default_recipe
from narsfast.training import InheritedStart, StartingPoint, evaluate, train


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


def starts_of(
    reference: str, data: Dataset, budgets: Sequence[Budget], epochs: int, seed: int, folder: Path
) -> tuple[InheritedStart, InheritedStart]:
    """Return the starts from a parent as it was downloaded, and after a run under these budgets has fine-tuned it.

    Args:
        reference: Of the parent.
        data: Prepared as the parent wants it.
        budgets: By which a run chooses the resolution at which the parent is tuned.
        epochs: Of the fine-tuning, by the default recipe.
        seed: Of the same.
        folder: Where both files are kept; what is there is not trained again.
    """
    parent, file, tuned = (
        load_pretrained(reference),
        folder / "parent.safetensors",
        folder / "tuned.safetensors",
    )
    if not file.is_file():
        parent.save(file)
    downloaded = InheritedStart(str(file))
    if not tuned.is_file():
        counter = Counter(children_space([reference]), data.in_chans, len(data.classes))
        network = parent.spec(whole_resolution(counter, budgets, parent.name))
        recipe = default_recipe("finetune")
        result = train(network, recipe, data, epochs, seed, start=downloaded, keep_network=True)
        assert result.network is not None
        save_weights(result.network, tuned)
    return downloaded, replace(downloaded, tuned=str(tuned))
