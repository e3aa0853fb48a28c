"""What a run was asked to do: the options of the user, completed from the space and the data.

The resolved configuration is stored in the run; going on with other values is refused with what differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from narsfast.arch import absolute_reference
from narsfast.common.renamed import upgrade_given, upgrade_stored
from narsfast.cost import LATENCY, NO_TABLE, Budget, LatencyTable
from narsfast.errors import UserError, refusal
from narsfast.space import Space, load_space, with_recipe_space
from narsfast.training import TrainerSettings, resolve_device

from ._recipe_search import chosen_model, recipe_space, refuse_bounds

LARGEST = "largest"
"""The teacher that a run makes itself: its largest network."""

NO_TEACHER = "none"
"""What takes the teacher from a run that has one."""

POOL_SIZE = 2048


class RunConfig(TrainerSettings):
    """Everything that decides the outcome of a run; `TrainerSettings` has what concerns single trainings.

    Every default is this project's choice.

    Attributes:
        data: ``digits`` or a folder of images (absolute path).
        model: reference of the one network whose recipe is searched (`narsfast.arch.create_model`, files by their
            absolute path); None searches the architecture too.
        space: the space as plain data (`Space.to_dict`), with fixed fields already applied.
        pool_bounds: bounds of the pool on statistics, as in ``macs=2M:40M``; None is the whole space.
        budgets: bounds for each network asked for, as in ``macs=50M,params=3M``.
        latency: which latency table the run has (`LatencyTable.label`); None is without that statistic.
        mirror: whether a mirrored image keeps its class.
        pool_size: n of Algorithm 1.
        trials_per_batch: m of Algorithm 1.
        iterations: T of Algorithm 1.
        epochs: length of the learning curves of the first batch.
        final_epochs: length of the final trainings.
        threshold: rank correlation at which the early-stop epoch is chosen.
        correlation: which rank correlation.
        ensemble_members: members of the predictor.
        seed: seed of the run.
        trial_timeout: seconds after which a trial is ended, or None.
        baselines: references of networks (`narsfast.arch.create_model`) that are trained beside the found ones.
        distill: teacher of the final trainings: ``largest``, the absolute path of an emitted folder, a reference, or
            ``REFERENCE=WEIGHTS``; None is without.
        distill_weight: share of the teacher in the loss.
        distill_temperature: divides the logits of teacher and student.
    """

    data: str
    model: str | None = None
    space: dict[str, Any]
    pool_bounds: str | None
    budgets: tuple[str, ...]
    latency: str | None = None
    mirror: bool = True
    pool_size: int = Field(POOL_SIZE, ge=16)
    trials_per_batch: int = Field(8, ge=2)
    iterations: int = Field(3, ge=1)
    epochs: int = Field(8, ge=1)
    final_epochs: int = Field(30, ge=1)
    threshold: float = Field(0.92, gt=0, le=1)
    correlation: Literal["spearman", "kendall"] = "kendall"
    ensemble_members: int = Field(4, ge=1)
    seed: int = Field(0, ge=0)
    trial_timeout: float | None = Field(None, gt=0)
    baselines: tuple[str, ...] = ()
    distill: str | None = None
    distill_weight: float = Field(0.8, ge=0, le=1)
    distill_temperature: float = Field(1.0, gt=0)

    @property
    def trainer(self) -> TrainerSettings:
        """How the run's trainings are computed."""
        return TrainerSettings(**{name: getattr(self, name) for name in TrainerSettings.model_fields})


def resolve_config(options: Mapping[str, Any], stored: Mapping[str, Any] | None = None) -> RunConfig:
    """Complete the options of the user.

    Args:
        options: what the user said. Keys of `RunConfig`, with ``space`` a name or a file, ``budgets`` and
            ``pool_bounds`` as text (``macs=50M``), ``latency`` the file of a latency table, ``recipe_space``: the name
            of one that widens the space's recipe, and ``fix``: a mapping from field to value. ``baselines`` are added to
            those of the run.
        stored: configuration of a run that goes on: the base for whatever the user did not say.

    Raises:
        UserError: an option is unknown, out of its range or does not fit the space.
    """
    given = upgrade_given(options)
    config = upgrade_stored(stored or {})
    config["data"], space = resolve_space(given, config)
    config["model"] = chosen_model(given, config)
    for name in ("data", "model", "space", "recipe_space", "fix"):
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
    config.update(given)
    try:
        resolved = RunConfig.model_validate(config)
    except ValidationError as error:
        raise UserError(refusal(error)) from None
    if "device" in given or resolved.device == "auto":
        resolved = resolved.model_copy(update={"device": resolve_device(resolved.device)})
    trials = resolved.trials_per_batch * resolved.iterations
    if trials > resolved.pool_size:
        raise UserError(
            f"pool_size is {resolved.pool_size}; {resolved.iterations} batches of {resolved.trials_per_batch} need at "
            f"least {trials}"
        )
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


def _absolute_teacher(text: str) -> str:
    """A teacher with absolute paths: a run goes on from any directory."""
    folder = Path(text).expanduser()
    if folder.is_dir():
        return str(folder.resolve())
    reference, separator, weights = text.rpartition("=")
    if separator:
        return f"{absolute_reference(reference)}={Path(weights).expanduser().resolve()}"
    return absolute_reference(text)


def _resolve_bounds(given: dict[str, Any], config: dict[str, Any], space: Space) -> None:
    """Take the bounds of the pool and the budgets out of `given` and complete them from the space."""
    if latency := given.pop("latency", None):
        config["latency"] = LatencyTable.read(latency).label()
    pool = given.pop("pool_bounds", None) or config.get("pool_bounds")
    if pool is None and space.pool:
        pool = Budget(space.pool).text()
    config["pool_bounds"] = pool and Budget.parse(pool).text()
    budgets = given.pop("budgets", None) or config.get("budgets") or [Budget(b).text() for b in space.budgets]
    if not budgets:
        raise UserError(f"space {space.name} has no budgets; give some, as in --budget macs=50M")
    config["budgets"] = list(dict.fromkeys(Budget.parse(text).text() for text in budgets))
    bounded = [text for text in (*config["budgets"], config["pool_bounds"] or "") if LATENCY in text]
    if bounded and not config.get("latency"):
        raise UserError(f"budget {bounded[0]} {NO_TABLE}")


def resolve_space(given: Mapping[str, Any], stored: Mapping[str, Any] | None = None) -> tuple[str, Space]:
    """The data and the space of these options, as in `resolve_config`: `data`, `model`, `space`, `recipe_space`, `fix`.

    Returns:
        ``digits`` or the folder's absolute path, and the space with what is fixed; of one model, its recipes.

    Raises:
        UserError: as `resolve_config`.
    """
    stored = stored or {}
    data = str(given.get("data", stored.get("data", "digits")))
    if not data:
        raise UserError("data is empty; give `digits` or a folder of images")
    if "space" in given or "space" not in stored:
        space = load_space(given.get("space", "tiny" if data == "digits" else "mobile"))
    else:
        space = Space.from_dict(stored["space"])
    if "recipe_space" in given:
        space = with_recipe_space(space, str(given["recipe_space"]))
    absolute = data if data == "digits" else str(Path(data).expanduser().resolve())
    if model := chosen_model(given, stored):
        return absolute, recipe_space(space, model, given.get("fix") or {})
    if not space.stages:
        raise UserError(f"space {space.name} has no stages to build networks from; a run needs them")
    return absolute, space.fix(given.get("fix") or {})
