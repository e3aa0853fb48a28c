"""Parents are fine-tuned as they are, once, and children inherit from them what they have learned of the images.

So a child has the classes' features and a trained classifier before its first step, and its channels are chosen by what
they do on these images. Each parent trains for as long as a trial, by the default recipe of fine-tuning, at the largest
resolution at which it keeps a budget; all of it is this project's choice.
"""

from __future__ import annotations

from typing import Any

from narsfast.errors import UserError
from narsfast.runs import TUNED
from narsfast.space import default_recipe
from narsfast.training import TrialTask

from ._anchors import whole_resolution
from ._lost_weights import forget_lost
from ._parents import FINETUNE
from ._search import Search
from ._trials import run_tasks


def tune_parents(search: Search) -> None:
    """Train the parents whose children inherit from tuned ones; what the run holds is not trained again.

    Raises:
        UserError: A training did not end well.
    """
    if not search.tunes:
        return
    tasks = [_tuning(search, name) for name in search.parents]
    forget_lost(search, tasks, "baseline")
    for trial in run_tasks(search, tasks, "baseline", "tune the parents"):
        if trial.outcome != "ok":
            name = trial.candidate.removeprefix(TUNED)
            raise UserError(
                f"tune_parents: the fine-tuning of parent {name} {trial.ending()}; leave that parent out, or set "
                "tune_parents to false"
            )


def tuning_facts(search: Search, name: str) -> dict[str, Any]:
    """Return what is told of the fine-tuning of a parent, in JSON types; empty where there was none.

    That is so in a run whose trainings were the user's, which goes on without them.
    """
    known = {one.candidate: one for one in search.store.trials("baseline")}
    trial = known.get(f"{TUNED}{name}")
    if trial is None:
        return {}
    return {
        "tuned": {
            "resolution": _tuning(search, name).network.resolution,
            "epochs": trial.epochs,
            "validation": trial.curve[-1],
        }
    }


def _tuning(search: Search, name: str) -> TrialTask:
    """Return the training of a parent."""
    parent, epochs = search.parents[name], search.config.epochs
    return TrialTask(
        candidate=f"{TUNED}{name}",
        network=parent.spec(whole_resolution(search.counter, search.bands, name)),
        recipe=default_recipe(FINETUNE).model_dump(mode="json"),
        epochs=epochs,
        schedule_epochs=epochs,
        seed=search.seed("tune", name),
        settings=search.trainer,
        output=str(search.tuned_folder(name)),
        start=search.start_from(name),
        preparation=parent.preparation,
        **search.task_data(),
    )
