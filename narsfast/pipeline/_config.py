"""What a run was asked to do: the options of the user, completed from the space and the data.

The resolved configuration is stored in the run; going on with other values is refused with what differs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any

from pydantic import ValidationError, field_validator

from narsfast.arch import absolute_reference
from narsfast.common.duration import seconds_of
from narsfast.common.files import expanded
from narsfast.common.listed import listed
from narsfast.common.option_field import option_field
from narsfast.common.options import POOL_SIZE, RUN_OPTIONS, BitDepth, Correlation, Layout
from narsfast.common.renamed import DONE_BY_0_2, upgrade_given, upgrade_stored
from narsfast.cost import LATENCY, NO_TABLE, STATISTICS, Budget, LatencyTable
from narsfast.data import DIGITS, DataSource, FolderOptions
from narsfast.errors import UserError, refusal
from narsfast.search import rungs
from narsfast.space import Space, load_space, with_recipe_space
from narsfast.training import TrainerSettings, resolve_device

from ._parents import FINETUNE, children_space, with_parents
from ._recipe_search import (
    chosen_model,
    fine_tuning_space,
    recipe_space,
    refuse_bounds,
    starts_trained,
    supported_recipes,
)

LARGEST = "largest"
"""The teacher that a run makes itself: its largest network."""

_LISTS: Mapping[str, tuple[Any, str]] = {
    "budgets": ((str, Budget), "macs=50M"),
    "baselines": (str, "torchvision:mobilenet_v3_small"),
    "parents": (str, "efficientnet_lite0"),
}
"""Options that take several values: the types of one, and an example."""

_SINGLE: Mapping[str, tuple[tuple[type, ...], str]] = {
    "data": ((str, os.PathLike), "'digits', or a folder of images"),
    "space": ((str, os.PathLike, Space), "a space, its name or its file"),
    "model": ((str, os.PathLike), "the reference of a network, as in 'torchvision:resnet18'"),
    "distill": ((str, os.PathLike), "a teacher, as in 'largest'"),
    "pool_bounds": ((str, Budget), "bounds, as in 'macs=10M:50M'"),
    "latency": ((str, os.PathLike), "the file of a latency table"),
}
"""Options that are resolved to something else: their types, and what is right."""

PLANNED = ("trials_per_batch", "iterations", "epochs", "final_epochs")
"""Options that a run for a given time chooses where they are not given."""

PARENT_TEACHER = "parent"
"""The teacher that is a parent of the run, fine-tuned as it is; of several, the one named as in ``parent:NAME``."""

NO_TEACHER = "none"
"""What takes the teacher from a run that has one."""


class RunConfig(TrainerSettings):
    """Everything that decides the outcome of a run.

    `narsfast.common.options` describes the fields that are stored as they are given; the others are:

    Attributes:
        data: ``digits``, a folder of images, a table or a stored data set (absolute path), see
            `narsfast.data.DataSource`.
        space: The space as plain data (`Space.to_dict`), with fixed fields already applied.
        pool_bounds: Bounds of the pool on statistics, as in ``macs=2M:40M``; None is the whole space.
        budgets: Bounds for each network asked for, as in ``macs=50M,params=3M``.
        latency: Which latency table the run has (`LatencyTable.label`); None is without that statistic.
        time: Seconds that the run may take; None is no plan.
        planned: Options that the plan for this time chooses: those that the user did not give.
        extra_statistics: Names of statistics that functions of a Python user count.
    """

    data: str
    model: str | None = option_field("model")
    pretrained: bool = option_field("pretrained")
    space: dict[str, Any]
    pool_bounds: str | None
    budgets: tuple[str, ...]
    explore: bool = option_field("explore")
    tune_parents: bool = option_field("tune_parents")
    latency: str | None = None
    extra_statistics: tuple[str, ...] = ()
    mirror: bool = option_field("mirror")
    layout: Layout = option_field("layout")
    orient: bool = option_field("orient")
    bit_depth: BitDepth = option_field("bit_depth")
    pool_size: int = option_field("pool_size")
    trials_per_batch: int = option_field("trials_per_batch")
    iterations: int = option_field("iterations")
    epochs: int = option_field("epochs")
    final_epochs: int = option_field("final_epochs")
    finalists: int = option_field("finalists")
    halving: bool = option_field("halving")
    threshold: float = option_field("threshold")
    correlation: Correlation = option_field("correlation")
    ensemble_members: int = option_field("ensemble_members")
    seed: int = option_field("seed")
    trial_timeout: float | None = option_field("trial_timeout")
    baselines: tuple[str, ...] = option_field("baselines")
    time: float | None = None
    planned: tuple[str, ...] = ()
    distill: str | None = option_field("distill")
    distill_weight: float = option_field("distill_weight")
    distill_temperature: float = option_field("distill_temperature")

    def to_stored(self) -> dict[str, Any]:
        """Return JSON types for the run; what earlier versions did not know is left out where it says what they did."""
        stored = self.model_dump(mode="json")
        stored = {name: value for name, value in stored.items() if (name, value) not in DONE_BY_0_2.items()}
        for name in ("extra_statistics", "pretrained", "time", "planned"):  # earlier versions have none
            if not stored[name]:
                del stored[name]
        return stored

    @classmethod
    def of_stored(cls, stored: Mapping[str, Any]) -> RunConfig:
        """Read what `to_stored` returned, also in an earlier version."""
        return cls.model_validate({**DONE_BY_0_2, **stored})

    @field_validator("bit_depth", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return str(value) if type(value) is int else value

    @property
    def folder_options(self) -> FolderOptions:
        """How image files are found and read."""
        return FolderOptions(self.layout, self.orient, self.bit_depth)

    @property
    def network_reference(self) -> str | None:
        """What builds the one network, where it is not built from a definition that the run holds; None of others."""
        if not self.pretrained:
            return self.model
        source: str | None = self.space["parents"][0].get("source")
        return source

    @property
    def trainer(self) -> TrainerSettings:
        """How the run's trainings are computed."""
        return TrainerSettings(**{name: getattr(self, name) for name in TrainerSettings.model_fields})


def resolve_config(options: Mapping[str, Any], stored: Mapping[str, Any] | None = None) -> RunConfig:
    """Complete the options of the user.

    Args:
        options: What the user said. Keys of `RunConfig`, with ``space`` a name or a file, ``budgets`` and
            ``pool_bounds`` as text (``macs=50M``), ``latency`` the file of a latency table, ``recipe_space``: the name
            of one that widens the space's recipe, and ``fix``: a mapping from field to value. ``baselines`` are added to
            those of the run.
        stored: Configuration of a run that goes on: the base for whatever the user did not say.

    Raises:
        UserError: An option is unknown, out of its range or does not fit the space.
    """
    given = upgrade_given(options)
    given |= {
        name: listed(given[name], single, name, example)
        for name, (single, example) in _LISTS.items()
        if given.get(name) is not None
    }
    for name, (kinds, right) in _SINGLE.items():
        if not isinstance(given.get(name), (*kinds, NoneType)):
            raise UserError(f"{name} is {given[name]!r}; give {right}")
    config = {**DONE_BY_0_2, **upgrade_stored(stored)} if stored else {}
    config["data"], space = resolve_space(given, config)
    config["model"] = chosen_model(given, config)
    config["pretrained"] = starts_trained(given, config)
    for name in ("data", "model", "pretrained", "space", "parents", "recipe_space", "fix"):
        given.pop(name, None)
    config["space"] = space.to_dict()
    if config["model"]:
        refuse_bounds(given)
        config |= {"budgets": [], "pool_bounds": None}
        config.setdefault("pool_size", min(POOL_SIZE, space.size()))  # recipes alone may be few
    else:
        _resolve_bounds(given, config, space)
    added = [absolute_reference(reference) for reference in given.pop("baselines", ())]
    config["baselines"] = list(dict.fromkeys([*config.get("baselines", ()), *added]))
    if teacher := given.pop("distill", None):
        config["distill"] = None if teacher == NO_TEACHER else _absolute_teacher(str(teacher))
    if given.get("time") is not None:
        given["time"] = seconds_of(given["time"], "time")
        config.setdefault("planned", [name for name in PLANNED if given.get(name) is None])
    config.update(given)
    try:
        resolved = RunConfig.model_validate(config)
    except ValidationError as error:
        raise UserError(refusal(error)) from None
    if "device" in given or resolved.device == "auto":
        resolved = resolved.model_copy(update={"device": resolve_device(resolved.device)})
    batch = resolved.trials_per_batch
    if resolved.halving:
        batch = rungs(batch, resolved.epochs)[0].candidates
    trials = batch * resolved.iterations
    if trials > resolved.pool_size:
        raise UserError(
            f"pool_size is {resolved.pool_size}; {resolved.iterations} batches of {batch} need at least {trials}"
        )
    resolved = _named_parent(resolved, space)
    if resolved.distill == LARGEST and len(resolved.budgets) < 2:
        raise UserError(
            f"distill is {LARGEST}; with one budget no other network is left to learn from it, so give another budget "
            "or teacher"
        )
    return resolved


def is_reference(teacher: str | None) -> bool:
    """Whether a teacher is named by its reference alone, and so is trained first."""
    source, _, name = (teacher or "").rpartition(":")
    return (source in ("torchvision", "timm") or source.endswith(".py")) and "=" not in name


def parent_teacher(teacher: str | None) -> str | None:
    """Return the name of the run's parent that teaches; None where the teacher is another network, or there is none."""
    word, separator, name = (teacher or "").partition(":")
    return name if word == PARENT_TEACHER and separator else None


def _named_parent(config: RunConfig, space: Space) -> RunConfig:
    """Complete a teacher that is a parent by its name.

    Raises:
        UserError: The run has no such parent, or several.
    """
    if config.distill != PARENT_TEACHER and parent_teacher(config.distill) is None:
        return config
    names = [parent.name for parent in space.parents]
    if not names:
        raise UserError(
            f"distill is {config.distill}, and the run starts from no pretrained network; give one in `parents`, or "
            "name another teacher"
        )
    wanted = parent_teacher(config.distill)
    if wanted is None and len(names) > 1:
        raise UserError(
            f"distill is {config.distill}, and the run has the parents {', '.join(names)}; name one, as in "
            f"{PARENT_TEACHER}:{names[0]}"
        )
    if wanted is not None and wanted not in names:
        raise UserError(f"distill is {config.distill}; the run's parents are {', '.join(names)}")
    return config.model_copy(update={"distill": f"{PARENT_TEACHER}:{wanted or names[0]}"})


def _absolute_teacher(text: str) -> str:
    """Make the paths of a teacher absolute: a run is resumed from any directory."""
    if text == PARENT_TEACHER or parent_teacher(text) is not None:
        return text
    folder = expanded(text)
    if folder.is_dir():
        return str(folder.resolve())
    reference, separator, weights = text.rpartition("=")
    if separator:
        return f"{absolute_reference(reference)}={expanded(weights).resolve()}"
    return absolute_reference(text)


def _resolve_bounds(given: dict[str, Any], config: dict[str, Any], space: Space) -> None:
    """Take the bounds of the pool and the budgets out of `given` and complete them from the space."""
    if latency := given.pop("latency", None):
        config["latency"] = LatencyTable.read(latency).label()
    known = (*STATISTICS, LATENCY, *given.get("extra_statistics", config.get("extra_statistics", ())))
    pool = given.pop("pool_bounds", None) or config.get("pool_bounds")
    if pool is None and space.pool and given.get("explore", config.get("explore", False)):
        pool = Budget(space.pool).text()
    config["pool_bounds"] = pool and _text(pool, known, "pool_bounds")
    budgets = given.pop("budgets", None) or config.get("budgets") or [Budget(b).text() for b in space.budgets]
    if not budgets:
        raise UserError(f"space {space.name} has no budgets; give `budgets`, as in macs=50M")
    config["budgets"] = list(dict.fromkeys(_text(budget, known) for budget in budgets))
    texts = [("budget", text) for text in config["budgets"]] + [("pool_bounds", config["pool_bounds"] or "")]
    for field, text in texts:
        if LATENCY in text and not config.get("latency"):
            raise UserError(f"{field} {text!r} {NO_TABLE}")


def _text(budget: str | Budget, known: Sequence[str], field: str = "budget") -> str:
    """Return the canonical text of a budget."""
    return Budget.parse(budget if isinstance(budget, str) else budget.text(), known, field).text()


def _check_start(given: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    """Refuse what does not go together of one network and those to start from."""
    model = chosen_model(given, stored)
    if model is not None and given.get("parents"):
        raise UserError(
            "parents and model are both given; a search among children of `parents` has no single network, so leave one "
            "of them out, or give `pretrained` with the model alone"
        )
    if model is None and given.get("pretrained"):
        raise UserError(
            "pretrained is given without a model; name the network as `model`, or search among its children by `parents`"
        )


def resolve_space(given: Mapping[str, Any], stored: Mapping[str, Any] | None = None) -> tuple[str, Space]:
    """Resolve `data`, `model`, `space`, `recipe_space` and `fix` of these options, as in `resolve_config`.

    Returns:
        The data (`narsfast.data.DataSource.text`), and the space with what is fixed; of one model, its recipes.

    Raises:
        UserError: As `resolve_config`.
    """
    stored = stored or {}
    _check_start(given, stored)
    data = DataSource.parse(given.get("data", stored.get("data", RUN_OPTIONS["data"].default)))
    if given.get("parents"):
        if given.get("space") is not None:
            raise UserError(
                "parents and space are both given; name the parents in the space's file, or leave one of them out"
            )
        space = children_space(given["parents"])
    elif "space" in given or "space" not in stored:
        chosen = given.get("space", "tiny" if data.text == DIGITS else "mobile")
        space = with_parents(chosen if isinstance(chosen, Space) else load_space(chosen))
    else:
        space = Space.from_dict(stored["space"])
    if "recipe_space" in given:
        space = with_recipe_space(space, str(given["recipe_space"]))
    elif starts_trained(given, stored) and "space" not in given and "space" not in stored:
        space = with_recipe_space(space, FINETUNE)
    fixed = given.get("fix") or {}
    if not isinstance(fixed, Mapping):
        raise UserError(f"fix is {fixed!r}; give values by field, as in {{'resolution': 64}}")
    if model := chosen_model(given, stored):
        if not starts_trained(given, stored):
            return data.text, recipe_space(space, model, fixed)
        named = any(given.get(name) is not None for name in ("model", "pretrained"))
        return data.text, fine_tuning_space(space, model if named else None, fixed)
    if not space.has_networks:
        raise UserError(f"space {space.name} has no stages to build networks from; a run needs them")
    return data.text, supported_recipes(space, fixed).fix(fixed)
