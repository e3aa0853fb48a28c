"""Known networks beside the found ones: trained on the same images, for as many epochs, by one standard recipe."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from narsfast.arch import WEIGHTS_FILE, NetworkSpec, load_weights
from narsfast.common.trial import Trial
from narsfast.cost import count_network
from narsfast.space import Recipe
from narsfast.training import TrialTask, evaluate, training_device

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
    known: int | None = search.run.fact("baseline_resolution")
    if known is None:
        best = [family["candidates"][0] for family in search.run.fact("families")]
        known = max(int(candidate["architecture"]["resolution"]) for candidate in best)
        search.run.put_fact("baseline_resolution", known)
    return known


def baseline_task(search: Search, reference: str) -> TrialTask:
    """The training of a network by the standard recipe; its trial's candidate is the reference."""
    epochs = search.config.final_epochs
    return TrialTask(
        candidate=reference,
        network=NetworkSpec(reference, baseline_resolution(search)),
        recipe=STANDARD_RECIPE.model_dump(mode="json"),
        data=search.config.data,
        epochs=epochs,
        schedule_epochs=epochs,
        seed=search.seed("baseline", reference),
        settings=search.trainer,
        output=str(search.run.path / baseline_folder(reference)),
        data_resolution=max(int(value) for value in search.space.values("resolution")),
        mirror=search.config.mirror,
    )


def baseline_folder(reference: str) -> Path:
    """Folder of a baseline's weights, relative to the run."""
    name = re.sub(r"[^A-Za-z0-9._]+", "-", reference)[-60:].strip("-")
    return Path("baselines") / f"{name}-{hashlib.sha256(reference.encode()).hexdigest()[:8]}"


def measure_baselines(search: Search) -> list[dict[str, Any]]:
    """Test each trained baseline once, and keep what is known of it.

    Returns:
        One row a baseline in JSON types, in the order asked for: ``model``, ``resolution``, ``epochs``, ``macs``,
        ``params``, ``validation`` and ``test`` (percent), ``outcome``, ``message``, ``directory``. After a training
        that ended badly what is not known is None.
    """
    known = {row["model"]: row for row in search.run.fact("baselines") or ()}
    trials = {trial.candidate: trial for trial in search.run.trials("baseline")}
    for index, reference in enumerate(search.config.baselines):
        if reference not in known:
            search.progress("test the baselines", index, len(search.config.baselines))
            known[reference] = _tested(search, baseline_task(search, reference), trials[reference])
            search.run.put_fact("baselines", list(known.values()))
    search.progress("test the baselines", 1, 1)
    return list(known.values())


def _tested(search: Search, task: TrialTask, trial: Trial) -> dict[str, Any]:
    row: dict[str, Any] = {
        "model": trial.candidate,
        "resolution": task.network.resolution,
        "epochs": trial.epochs,
        "outcome": trial.outcome,
        "message": trial.message,
        "directory": str(baseline_folder(trial.candidate)),
    }
    if trial.outcome != "ok":
        return row | dict.fromkeys(("macs", "params", "validation", "test"))
    data = search.data
    resolution = task.network.resolution
    network = task.network.build(len(data.classes), data.in_chans)
    load_weights(network, Path(str(task.output), WEIGHTS_FILE))
    cost: Mapping[str, int] = count_network(network, data.in_chans, resolution, len(data.classes))
    network.to(training_device(search.trainer.device))
    tested = evaluate(network, data.test, resolution, search.config.threads_per_trial)
    return row | {
        "macs": cost["macs"],
        "params": cost["params"],
        "validation": trial.curve[-1],
        "test": tested.accuracy,
    }
