"""Who teaches the final trainings of a run: the second step of the paper's two-step distillation.

The trainings of the search are never distilled: labels of the predictor stay what a recipe alone gives, and the teacher
may be a network that the search has yet to find.
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
from narsfast.training import Distillation, Teacher, TrialTask

from ._config import LARGEST, is_reference
from ._recipe_search import network_statistics
from ._reference_networks import baseline_task
from ._search import Search


def check_teacher(search: Search) -> None:
    """Refuse a teacher that cannot teach, before anything is trained.

    Raises:
        UserError: There is no such network, or it does not fit the data.
    """
    text = search.config.distill
    if text is None or text == LARGEST:
        return
    if is_reference(text):
        sides = [int(value) for value in search.space.values("resolution")]
        for side in {min(sides), max(sides)}:
            network_statistics(NetworkSpec(text, side), search.data)
    else:
        Teacher(_from_files(search, text), search.data)


def teacher_task(search: Search) -> TrialTask | None:
    """Return the training of a teacher that is named by its reference; None where it needs none of its own."""
    text = search.config.distill
    return baseline_task(search, text) if text is not None and is_reference(text) else None


def describe_teacher(search: Search, candidate: str) -> dict[str, Any] | None:
    """Describe the teacher of a final training for its folder and the report; None where it had none."""
    config = search.config
    teacher = search.store.facts.teacher
    if config.distill is None or teacher is None or teacher.candidate == candidate:
        return None
    return {
        "teacher": config.distill,
        **teacher.to_dict(),
        "weight": config.distill_weight,
        "temperature": config.distill_temperature,
    }


def distillation_of(search: Search, candidate: str) -> Distillation | None:
    """Return who teaches the full training of a candidate; None is nobody."""
    config = search.config
    if config.distill is None:
        return None
    if config.distill == LARGEST:
        teacher = found_teacher(search)
        if teacher is None or teacher.id == candidate:
            return None
        found = _from_run(search, teacher)
    else:
        reference = is_reference(config.distill)
        found = (
            _from_task(baseline_task(search, config.distill))
            if reference
            else _from_files(search, config.distill)
        )
        _keep(search, found)
    return replace(found, weight=config.distill_weight, temperature=config.distill_temperature)


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
    return replace(_from_task(task), network=replace(task.network, resolution=resolution))


def _from_task(task: TrialTask) -> Distillation:
    return Distillation(
        weights=str(Path(str(task.output), WEIGHTS_FILE)),
        network=task.network,
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
        search.store.facts.teacher = TeacherChoice(sha256=digest)
    elif chosen.sha256 != digest:
        raise UserError(
            f"distill: {found.weights} has changed since the first network was distilled; put the old file back, or "
            "start another run"
        )
