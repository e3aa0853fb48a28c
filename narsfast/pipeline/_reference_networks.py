"""Known networks beside the found ones: trained on the same images, for as many epochs, by one standard recipe."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

from narsfast.arch import NetworkSpec
from narsfast.common.machine import persistently
from narsfast.common.trial import Trial
from narsfast.cost import count_network
from narsfast.runs import BaselineResult
from narsfast.space import Recipe
from narsfast.training import TrialTask

from ._class_results import store_class_results
from ._final_test import final_test
from ._search import Search

STANDARD_RECIPE = Recipe(
    optimizer="sgd",
    learning_rate=0.05,
    sgd_factor=1.0,
    momentum=0.9,
    weight_decay=1e-4,
    batch_size=64,
    warmup_epochs=1.0,
    schedule="cosine",
    lr_final=0.01,
    mixup=0.0,
    dropout=0.2,
    drop_path=0.0,
    label_smoothing=0.1,
    ema=False,
    augmentation="crop",
)
"""The usual way to train such a network: SGD with Nesterov momentum, a cosine, crops and label smoothing.

All values are this project's choice, of the usual size for trainings from scratch on small data (0.2 is the dropout
that torchvision's mobilenet_v3 and efficientnet_b0 have themselves). Nobody tuned them, for any network."""


def baseline_resolution(search: Search) -> int:
    """Side of the baselines' images, pixels: the largest among the best candidates of the budgets.

    It is fixed when first asked for, of a run that has evolved its candidates: what is trained later stays comparable.
    """
    known = search.store.facts.baseline_resolution
    if known is None:
        best = [family.candidates[0] for family in search.store.facts.families or ()]
        known = max(int(found.architecture["resolution"]) for found in best)
        search.store.facts.baseline_resolution = known
    return known


def baseline_task(search: Search, reference: str) -> TrialTask:
    """Return the training of a network by the standard recipe; its trial's candidate is the reference."""
    epochs = search.config.final_epochs
    return TrialTask(
        candidate=reference,
        network=NetworkSpec(reference, baseline_resolution(search)),
        recipe=STANDARD_RECIPE.model_dump(mode="json"),
        epochs=epochs,
        schedule_epochs=epochs,
        seed=search.seed("baseline", reference),
        settings=search.trainer,
        output=str(search.store.path / baseline_folder(reference)),
        **search.task_data(),
    )


def baseline_folder(reference: str) -> Path:
    """Folder of a baseline's weights, relative to the run."""
    name = re.sub(r"[^A-Za-z0-9._]+", "-", reference)[-60:].strip("-")
    return Path("baselines") / f"{name}-{hashlib.sha256(reference.encode()).hexdigest()[:8]}"


def test_baselines(search: Search) -> list[BaselineResult]:
    """Test each trained baseline once, and keep what is known of it.

    Returns:
        One result per baseline, in the order asked for.
    """
    known = {result.model: result for result in search.store.facts.baselines or ()}
    trials = {trial.candidate: trial for trial in search.store.trials("baseline")}
    for index, reference in enumerate(search.config.baselines):
        if reference not in known:
            search.progress("test the baselines", index, len(search.config.baselines))
            known[reference] = _result(search, baseline_task(search, reference), trials[reference])
            search.store.facts.baselines = tuple(known.values())
    search.progress("test the baselines", 1, 1)
    return list(known.values())


def _result(search: Search, task: TrialTask, trial: Trial) -> BaselineResult:
    result = BaselineResult(
        model=trial.candidate,
        resolution=task.network.resolution,
        epochs=trial.epochs,
        outcome=trial.outcome,
        message=trial.message,
        directory=str(baseline_folder(trial.candidate)),
    )
    if trial.outcome != "ok":
        return result
    data = search.data
    tested = persistently(lambda: final_test(task, data, examples=False), f"the test of {trial.candidate}")
    store_class_results(search.store, trial.candidate, tested.by_class)
    cost = count_network(tested.network, data.in_chans, task.network.resolution, len(data.classes))
    return replace(
        result,
        macs=cost["macs"],
        params=cost["params"],
        validation=trial.curve[-1],
        test=tested.accuracy,
    )
