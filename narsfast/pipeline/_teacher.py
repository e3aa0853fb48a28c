"""Who teaches the final trainings of a run: the second step of the paper's two-step distillation.

The trainings of the search are never distilled: labels of the predictor stay what a recipe alone gives, and the teacher
may be a network that the search has yet to find. A parent that teaches is fine-tuned as it is, once, by the default
recipe of fine-tuning, at the largest resolution of the networks that the run has found: so it sees all that any of them
sees, and no images that were enlarged for it alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from narsfast.arch import WEIGHTS_FILE, NetworkSpec, read_definition
from narsfast.emit import read_preprocessing
from narsfast.errors import UserError
from narsfast.runs import FoundCandidate, TeacherChoice
from narsfast.space import default_recipe
from narsfast.training import Distillation, Teacher, TrialTask

from ._config import LARGEST, is_reference, parent_teacher
from ._parents import FINETUNE
from ._recipe_search import network_statistics
from ._reference_networks import baseline_folder, baseline_resolution, baseline_task
from ._search import Search


def check_teacher(search: Search) -> None:
    """Refuse a teacher that cannot teach, before anything is trained.

    Raises:
        UserError: There is no such network, or it does not fit the data.
    """
    text = search.config.distill
    if text is None or text == LARGEST:
        return
    parent = parent_teacher(text)
    if parent is None and not is_reference(text):
        Teacher(_from_files(search, text), search.data)
        return
    sides = [int(value) for value in search.space.values("resolution")]
    for side in {min(sides), max(sides)}:
        spec = NetworkSpec(text, side) if parent is None else search.parents[parent].spec(side)
        network_statistics(spec, search.data)


def teacher_task(search: Search) -> TrialTask | None:
    """Return the training of a teacher that is neither a network of the run nor in files; None where it needs none."""
    text = search.config.distill
    if text is not None and parent_teacher(text) is not None:
        return _parent_task(search, text)
    return baseline_task(search, text) if text is not None and is_reference(text) else None


def _parent_task(search: Search, text: str) -> TrialTask:
    """Return the fine-tuning of a parent as it is; its trial's candidate is the teacher's text."""
    name = str(parent_teacher(text))
    parent, epochs = search.parents[name], search.config.final_epochs
    return TrialTask(
        candidate=text,
        network=parent.spec(baseline_resolution(search)),
        recipe=default_recipe(FINETUNE).model_dump(mode="json"),
        epochs=epochs,
        schedule_epochs=epochs,
        seed=search.seed("teacher", text),
        settings=search.trainer,
        output=str(search.store.path / baseline_folder(text)),
        start=search.start_from(name),
        preparation=parent.preparation,
        **search.task_data(),
    )


def describe_teacher(search: Search, candidate: str) -> dict[str, Any] | None:
    """Describe the teacher of a final training for its folder and the report; None where it had none."""
    config = search.config
    teacher = search.store.facts.teacher
    if config.distill is None or teacher is None or candidate in _undistilled(search, teacher.candidate):
        return None
    return {
        "teacher": config.distill,
        **_fine_tuned(search),
        **teacher.to_dict(),
        "weight": config.distill_weight,
        "temperature": config.distill_temperature,
    }


def _fine_tuned(search: Search) -> dict[str, Any]:
    """Return what came out of the fine-tuning of a parent that teaches; nothing of another teacher."""
    text = search.config.distill
    if parent_teacher(text) is None:
        return {}
    trial = next(trial for trial in search.store.trials("baseline") if trial.candidate == text)
    return {"epochs": trial.epochs, "validation": trial.curve[-1]}


def distillation_of(search: Search, candidate: str) -> Distillation | None:
    """Return who teaches the full training of a candidate; None is nobody."""
    config = search.config
    if config.distill is None:
        return None
    if config.distill == LARGEST:
        teacher = found_teacher(search)
        if teacher is None or candidate in _undistilled(search, teacher.id):
            return None
        found = _from_run(search, teacher)
    else:
        task = teacher_task(search)
        found = _from_files(search, config.distill) if task is None else _from_task(search, task)
        _keep(search, found)
    return replace(found, weight=config.distill_weight, temperature=config.distill_temperature)


def _undistilled(search: Search, teacher: str | None) -> tuple[str | None, ...]:
    """Return a teacher of the run's own, and those whose trainings began before it was known."""
    return teacher, *(search.store.facts.undistilled or () if teacher is not None else ())


def found_teacher(search: Search) -> FoundCandidate | None:
    """Return the network of the run that teaches its others; None where none does."""
    choice = search.store.facts.teacher
    if choice is None or choice.candidate is None:
        return None
    families = search.store.facts.families or ()
    return next(c for family in families for c in family.candidates if c.id == choice.candidate)


def _from_run(search: Search, teacher: FoundCandidate) -> Distillation:
    epochs = search.config.final_epochs
    task = search.task(teacher.candidate, epochs, epochs, "final")
    resolution = int(teacher.architecture["resolution"])
    return replace(_from_task(search, task), network=replace(task.network, resolution=resolution))


def _from_task(search: Search, task: TrialTask) -> Distillation:
    """Return a teacher that the run has trained; where parents say how images are normalized, with its own numbers."""
    own = search.data.prepared(task.preparation).preprocess if search.space.parents else None
    return Distillation(
        weights=str(Path(str(task.output), WEIGHTS_FILE)),
        network=task.network,
        mean=None if own is None else own.mean,
        std=None if own is None else own.std,
    )


def _from_files(search: Search, text: str) -> Distillation:
    """Return a teacher that is there already: an emitted folder, or weights of a reference.

    Raises:
        UserError: It is neither, or the folder's network knows other classes.
    """
    folder = Path(text)
    reference, separator, weights = text.rpartition("=")
    if separator and not folder.is_dir():
        return Distillation(weights, NetworkSpec(reference, search.resolution), resize=False)
    if not folder.is_dir():
        raise UserError(
            f"distill is {text!r}, no folder of an emitted network; give `{LARGEST}`, such a folder, torchvision:NAME, "
            "timm:NAME, FILE.py:FACTORY, or REFERENCE=WEIGHTS.safetensors"
        )
    found = read_preprocessing(folder)
    if found.classes != search.data.classes or found.in_chans != search.data.in_chans:
        raise UserError(
            f"distill: the network in {folder} knows {len(found.classes)} classes ({', '.join(found.classes[:3])}, ...) "
            f"in {found.in_chans} channel(s), the data has {len(search.data.classes)} "
            f"({', '.join(search.data.classes[:3])}, ...) in {search.data.in_chans}; name a teacher of these classes"
        )
    definition = folder / "definition.json"
    if not definition.is_file():
        raise UserError(f"distill: {definition} is missing; name a folder that narsfast emit wrote")
    return Distillation(
        weights=str(folder / WEIGHTS_FILE),
        network=NetworkSpec(read_definition(definition), found.resolution),
        mean=found.mean,
        std=found.std,
        padding=found.padding,
    )


def _keep(search: Search, found: Distillation) -> None:
    """Remember the teacher's weights by their hash; refuse others from then on."""
    try:
        digest = hashlib.sha256(Path(found.weights).read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"distill: {found.weights} cannot be read ({error.strerror}); put it back") from None
    chosen = search.store.facts.teacher
    if chosen is None:
        tuned = parent_teacher(search.config.distill) is not None
        resolution = found.network.resolution if tuned else None
        search.store.facts.teacher = TeacherChoice(sha256=digest, resolution=resolution)
    elif chosen.sha256 != digest:
        raise UserError(
            f"distill: {found.weights} has changed since the first network was distilled; put the old file back, or "
            "start another run"
        )
