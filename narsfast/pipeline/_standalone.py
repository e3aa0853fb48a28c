"""What is done with single networks, without a search: a recipe is applied, a network is scaled."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from narsfast import cost
from narsfast.arch import (
    Definition,
    NetworkSpec,
    Padding,
    Parent,
    absolute_reference,
    check_padding,
    resolve_definition,
    unsupported_recipe_fields,
)
from narsfast.common.files import expanded, output_path, replacing_directory
from narsfast.common.names import check_text
from narsfast.common.progress import Progress, silent
from narsfast.cost import STATISTICS, LatencyTable, count_definitions, scale
from narsfast.data import DIGITS, FolderOptions, batches, shared_data
from narsfast.emit import (
    GIVEN,
    Measurements,
    describe_data,
    emit,
    read_json,
    read_preprocessing,
)
from narsfast.errors import UserError, refusal
from narsfast.space import Recipe, default_recipe, parse_quantity, read_recipe
from narsfast.training import (
    TrainerSettings,
    TrialTask,
    default_epochs,
    effective_backend,
    run_trial,
)

from ._config import resolve_space
from ._data import refuse_inside
from ._final_test import final_test
from ._parents import FINETUNE
from ._recipe_search import network_statistics
from ._start import EmittedStart, TrainedStart, parent_start, read_start

TRAINING_FILE = "training.json"
SCALED_FILE = "statistics.json"

_log = logging.getLogger("narsfast.model")


def train_with_recipe(
    model: str | None,
    recipe: str | Path | Recipe | None,
    out: str | Path,
    *,
    data: str = DIGITS,
    resolution: int | None = None,
    epochs: int | None = None,
    seed: int = 0,
    mirror: bool = True,
    layout: str = "auto",
    orient: bool = True,
    bit_depth: str | int = "auto",
    settings: Mapping[str, Any] | None = None,
    progress: Progress = silent,
    start: EmittedStart | None = None,
    parent: Parent | str | None = None,
) -> dict[str, Any]:
    """Train any network with a recipe and test it once.

    From a parent it inherits weights, and sees its images as the parent did.

    What the network cannot take of the recipe is left out and named in the result. A training that was stopped goes on
    from its last epoch when the same is asked for again.

    Args:
        model: Reference of the network (`narsfast.arch.create_model`); with a parent, of a child, None is the parent
            itself.
        recipe: A recipe or its file; with a parent, None is ``narsfast.space.default_recipe("finetune")``.
        out: Folder that gets what `narsfast.emit.emit` writes of a network, and training.json; one that exists is
            replaced only where it holds a training.
        data: ``digits``, a folder of images, a table of labels or a stored data set.
        resolution: Side of the images, pixels; None is a definition's or the parent's own.
        epochs: To train; None is `narsfast.training.default_epochs` of a final training.
        seed: Of the training.
        mirror: Whether a mirrored image keeps its class.
        layout: Which folders are splits, see `narsfast.data.FolderOptions`.
        orient: Whether photos are turned as their EXIF data says.
        bit_depth: Bits that gray images of more than 8 bits use.
        settings: Fields of `TrainerSettings`.
        progress: Told of the training.
        start: The emitted network of the model that it starts from (`fine_tune`); None is fresh weights.
        parent: The pretrained network that it starts from, loaded or as ``REFERENCE[=FILE]``; None is none.

    Returns:
        What training.json holds: the arguments, ``optim_backend`` (who computed the optimizer's step), ``statistics``,
        ``curve`` (validation accuracy in percent after each
        epoch), ``validation``, ``test``, ``balanced_accuracy`` (on the test split), ``seconds``, and for one that
        started from a network, ``from`` or ``parent``.

    Raises:
        UserError: An argument cannot be used, or the training ended badly.
    """
    if seed < 0:
        raise UserError(f"seed is {seed}; it must be at least 0")
    if start is not None and parent is not None:
        raise UserError(
            f"parent is given with the folder {start.folder} to start from; leave one of them out"
        )
    target = output_path(out)
    _check_target(target, TRAINING_FILE)
    begun: TrainedStart | None = start
    if parent is not None:
        begun = parent_start(parent)
        spec = begun.spec(model, resolution)
        model = begun.loaded.reference if model is None else absolute_reference(model)
        asked = default_recipe(FINETUNE) if recipe is None else _recipe(recipe)
    else:
        model = absolute_reference(_given("model", model))
        asked = _recipe(_given("recipe", recipe))
        spec = NetworkSpec.of(model, resolution)
    unsupported = {} if spec.reference is None else unsupported_recipe_fields(spec.reference)
    left_out = {name: why for name, why in unsupported.items() if getattr(asked, name)}
    for name, why in left_out.items():
        _log.warning("%s is left out of the recipe: %s %s", name, model, why)
    used = asked.model_copy(update=dict.fromkeys(left_out, 0.0))
    refuse_inside(target, data)
    folder_options = FolderOptions(layout, orient, str(bit_depth))
    dataset = shared_data(data, spec.resolution, mirror, folder_options)
    if begun is not None:
        begun.check(spec, dataset)
    if epochs is None:
        epochs = default_epochs(len(dataset.train), "scratch" if begun is None else "parent", "final")
    statistics = network_statistics(spec, dataset)
    unfinished = target.absolute().with_name(f".{target.name}.training")
    unfinished.mkdir(parents=True, exist_ok=True)  # a place that cannot be written to costs no training
    task = TrialTask(
        candidate=model,
        network=spec,
        recipe=used.model_dump(mode="json"),
        data=data,
        epochs=epochs,
        schedule_epochs=epochs,
        seed=seed,
        settings=_trainer(settings or {}).resolved(dataset),
        output=str(unfinished),
        data_resolution=spec.resolution,
        mirror=mirror,
        folder_options=folder_options,
        start=None if begun is None else begun.point(unfinished),
        preparation=None if begun is None else begun.preparation,
    )
    trial = run_trial(task, report=lambda share: progress("train", share, 1))
    if trial.outcome != "ok":
        shutil.rmtree(unfinished, ignore_errors=True)
        raise UserError(
            f"the training {trial.outcome.replace('_', ' ')} ({trial.message}); try a recipe of a lower learning_rate "
            "or batch_size"
        )
    tested = final_test(task, dataset)
    found: dict[str, Any] = {
        "model": model,
        "recipe": used.model_dump(mode="json"),
        "left_out": sorted(left_out),
        "data": data,
        "resolution": spec.resolution,
        "epochs": epochs,
        "seed": seed,
        "settings": task.settings.model_dump(mode="json"),
        "optim_backend": effective_backend(used.optimizer, task.settings.optim_backend),
        "statistics": statistics,
        "curve": list(trial.curve),
        "validation": trial.curve[-1],
        "test": tested.accuracy,
        "balanced_accuracy": tested.by_class.balanced_accuracy,
        "seconds": trial.seconds,
    }
    if begun is not None:
        found |= begun.facts()
    shown = dataset.prepared(task.preparation)
    emit(
        target,
        tested.network,
        used,
        describe_data(shown),
        Measurements(
            budget=GIVEN,
            statistics=statistics,
            predicted=None,
            validation=found["validation"],
            test=found["test"],
            epochs=epochs,
            seed=seed,
            candidate=hashlib.sha256(model.encode()).hexdigest()[:16],
            seconds=trial.seconds,
            optim_backend=found["optim_backend"],
            by_class=tested.by_class,
            origin=None if begun is None else begun.origin,
            parent=None if begun is None else begun.parent,
        ),
        test_batches=batches(shown.test, spec.resolution, 128),
        padding="published" if task.start is None else check_padding(task.start.padding),
        given=task.network,
        extra_files={TRAINING_FILE: json.dumps(found, indent=1) + "\n"},
    )
    shutil.rmtree(unfinished)
    return found


def fine_tune(
    folder: str | Path, out: str | Path, recipe: str | Path | Recipe | None = None, **options: Any
) -> dict[str, Any]:
    """Train a found network on other classes, and test it once.

    It starts from the weights of an emitted folder, all but those of the classifier, which is new. Images are normalized
    by the mean and the standard deviation of the new data; those of a network that came from a parent as the parent's.

    Args:
        folder: What `narsfast.emit.emit` wrote of a narsfast network, also after a fine-tuning.
        out: Folder that gets the same of the new one; as in `train_with_recipe`.
        recipe: A recipe or its file; None is the folder's.
        **options: Keywords of `train_with_recipe`; the resolution is the folder's where none is given.

    Returns:
        As `train_with_recipe`; ``from`` says what it started from.

    Raises:
        UserError: As in `train_with_recipe`; the folder is not one of a narsfast network, or its network takes images
            of other channels.
    """
    start = read_start(folder)
    if expanded(out).resolve() == start.folder.resolve():
        raise UserError(f"out is {out}, the folder that the training starts from; name another one")
    return train_with_recipe(
        str(start.folder), start.folder if recipe is None else recipe, out, start=start, **options
    )


def _recipe(recipe: str | Path | Recipe) -> Recipe:
    return recipe if isinstance(recipe, Recipe) else read_recipe(recipe)


def _given(name: str, value: Any) -> Any:
    """Return an argument that only a training from a parent can do without."""
    if value is None:
        raise UserError(f"{name} is missing; give one, or start from a `parent`")
    return value


def _trainer(settings: Mapping[str, Any]) -> TrainerSettings:
    try:
        return TrainerSettings.model_validate(settings)
    except ValidationError as error:
        raise UserError(refusal(error)) from None


def scale_network(source: str, macs: str, out: str | Path) -> dict[str, Any]:
    """Scale a network (`narsfast.cost.scale`) and write it with its recipe.

    Args:
        source: An emitted folder, one that this function wrote, a definition's .json file or a name of the zoo; the
            latter two are counted with 3 channels and 1000 classes.
        macs: What is asked for: a factor (``2x``, ``0.5x``) or a number (``100M``).
        out: Folder that gets definition.json, statistics.json and, from an emitted folder, recipe.json; one that
            exists is replaced only where it holds a scaled network.

    Returns:
        What statistics.json holds: the statistics before and after, by name, ``ratio`` of the multiply-adds, and what
        they were counted with.

    Raises:
        UserError: The source or the number cannot be used.
    """
    target, folder = output_path(out), expanded(source)
    _check_target(target, SCALED_FILE)
    in_chans, classes, padding, recipe = 3, 1000, check_padding("published"), None
    if folder.is_dir():
        if not (folder / "definition.json").exists():
            raise UserError(
                f"{source} has no definition.json: only a network that was found or defined can be scaled"
            )
        in_chans, classes, padding = _counted_with(folder)
        definition = resolve_definition(folder / "definition.json")
        recipe = folder / "recipe.json"
    else:
        definition = resolve_definition(source)

    def count(network: Definition) -> dict[str, int]:
        counted = count_definitions([network], in_chans, classes, padding)[0].tolist()
        return dict(zip(STATISTICS, counted, strict=True))

    before = count(definition)
    asked = _asked(macs, before["macs"])
    scaled = scale(definition, asked, in_chans, classes, padding)
    after = count(scaled)
    found = {
        "asked_macs": round(asked),
        "ratio": after["macs"] / before["macs"],
        "in_chans": in_chans,
        "classes": classes,
        "padding": padding,
        "before": {"resolution": definition.resolution} | before,
        "after": {"resolution": scaled.resolution} | after,
    }
    with replacing_directory(target) as made:
        (made / "definition.json").write_text(scaled.to_json(), encoding="utf-8")
        (made / SCALED_FILE).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        if recipe is not None and recipe.exists():
            (made / "recipe.json").write_bytes(recipe.read_bytes())
    return found


def _counted_with(folder: Path) -> tuple[int, int, Padding]:
    """Channels, classes and padding of a folder that was emitted or scaled."""
    if (folder / SCALED_FILE).exists():
        counted = read_json(folder, SCALED_FILE)
        try:
            return counted["in_chans"], counted["classes"], check_padding(counted["padding"])
        except (KeyError, TypeError):
            raise UserError(
                f"{folder / SCALED_FILE} does not say what it was counted with; scale the network again"
            ) from None
    facts = read_preprocessing(folder)
    return facts.in_chans, len(facts.classes), check_padding(facts.padding)


def _asked(text: str, own: int) -> float:
    try:
        return float(text[:-1]) * own if text.endswith(("x", "X")) else parse_quantity(text)
    except (ValueError, UserError):
        raise UserError(
            f"macs is {text!r}; give a factor such as 2x or 0.5x, or a number such as 100M"
        ) from None


def _check_target(target: Path, file: str) -> None:
    """Refuse to replace what these functions did not write, and a name that no file could tell."""
    check_text("out is", target, "give another name")
    if target.exists() and (not target.is_dir() or (any(target.iterdir()) and not (target / file).exists())):
        raise UserError(f"out: {target} holds other things; name a new folder")


def measure_latency(
    options: Mapping[str, Any],
    batch: int = 1,
    threads: int = 1,
    seconds: float = 60.0,
    seed: int = 0,
    progress: Progress = silent,
) -> LatencyTable:
    """Time the blocks of a run's space on this machine.

    Args:
        options: `data`, `space` and `fix`, as in `open_search`.
        batch: Images at once.
        threads: Of the CPU.
        seconds: Most time to take.
        seed: Of the choice of blocks and networks.
        progress: Told of the timing.
    """
    folder, space = resolve_space(options)
    resolution = max(int(value) for value in space.values("resolution"))
    data = shared_data(folder, resolution, True)
    return cost.measure_latency(
        space,
        data.in_chans,
        len(data.classes),
        batch=batch,
        threads=threads,
        seconds=seconds,
        seed=seed,
        progress=progress,
    )
