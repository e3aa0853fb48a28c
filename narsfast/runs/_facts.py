"""What a run knows beside trials, as typed values: one attribute per fact, written and read here alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar, overload

from narsfast.common.candidate import Candidate, Value
from narsfast.common.early_stopping import EarlyStopping
from narsfast.common.label_noise import LabelNoise
from narsfast.common.trial import Fit, Outcome

from ._class_results import ClassResults
from ._legible import adapter, checked, legible

Statistics = Mapping[str, int | float]
"""Statistics of one architecture by name."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class FoundCandidate:
    """A candidate that evolution found, or the best trial inside a budget.

    Attributes:
        candidate: Architecture and recipe.
        predicted: Accuracy in percent that the predictor expects at the early-stop epoch.
        std: The predictor's stated deviation, percent.
        statistics: What the architecture costs.
    """

    candidate: Candidate
    predicted: float
    std: float
    statistics: Statistics

    @property
    def id(self) -> str:
        """Id of the candidate."""
        return self.candidate.id

    @property
    def architecture(self) -> Mapping[str, Value]:
        """Value of each active architecture name."""
        return self.candidate.architecture

    @property
    def recipe(self) -> Mapping[str, Value]:
        """Value of each active recipe name."""
        return self.candidate.recipe

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return {
            "id": self.id,
            "architecture": dict(self.architecture),
            "recipe": dict(self.recipe),
            "predicted": self.predicted,
            "std": self.std,
            "statistics": dict(self.statistics),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FoundCandidate:
        """Read what `to_dict` wrote."""
        candidate = {"architecture": data["architecture"], "recipe": data["recipe"]}
        return checked(cls, {**data, "candidate": candidate})


@dataclass(frozen=True)
class BestTrial:
    """The best trial of the search inside a budget.

    Attributes:
        candidate: Id of the candidate.
        accuracy: Its label, percent.
        epochs: The early-stop epoch.
    """

    candidate: str
    accuracy: float
    epochs: int


Origin = Literal["trial", "evolved", "anchor"]
"""Why a candidate races: a trial of the search was promising, evolution found it, or it is known to work."""


@dataclass(frozen=True)
class Finalist:
    """A candidate that races for a budget.

    Attributes:
        candidate: Id of the candidate.
        origin: Why it is there.
    """

    candidate: str
    origin: Origin


@dataclass(frozen=True)
class Family:
    """What evolution found for one budget.

    Attributes:
        budget: Text of the budget, as in ``macs=50M``.
        label: The budget as people read it, as in ``macs<=50M``.
        generations: That evolution ran.
        candidates: Best predicted first; the best trial is among them.
        best_trial: Of the search inside the budget; None where no trial is inside.
        finalists: Who races for the budget; none in runs without a race.
    """

    budget: str
    label: str
    generations: int
    candidates: tuple[FoundCandidate, ...]
    best_trial: BestTrial | None = None
    finalists: tuple[Finalist, ...] = ()

    def found(self, candidate: str) -> FoundCandidate:
        """Return one of the candidates by its id."""
        return next(found for found in self.candidates if found.id == candidate)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return {
            "budget": self.budget,
            "label": self.label,
            "generations": self.generations,
            "candidates": [found.to_dict() for found in self.candidates],
            "best_trial": None if self.best_trial is None else asdict(self.best_trial),
            "finalists": [asdict(finalist) for finalist in self.finalists],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Family:
        """Read what `to_dict` wrote."""
        return checked(cls, {**data, "candidates": tuple(map(FoundCandidate.from_dict, data["candidates"]))})


@dataclass(frozen=True)
class TeacherChoice:
    """Which teacher the final trainings of a run have.

    Attributes:
        candidate: Id of the run's own network that teaches the others; None where the teacher is another network.
        sha256: Of the weights of another network.
        resolution: Side of the images, pixels, for which the run fine-tuned a parent to teach; None of other teachers.
    """

    candidate: str | None = None
    sha256: str | None = None
    resolution: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types, without what is None."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class BaselineResult:
    """A known network that was trained beside the found ones, and tested once.

    After a training that ended badly, what is not known is None.

    Attributes:
        model: Its reference.
        resolution: Side of its images, pixels.
        epochs: Of its training.
        outcome: Of its training.
        message: One line on an outcome other than ``ok``.
        directory: Of its weights, relative to the run.
        macs: Multiply-adds, one image.
        params: Number of parameters.
        validation: Accuracy in percent on the validation split.
        test: Accuracy in percent on the test split, measured once.
    """

    model: str
    resolution: int
    epochs: int
    outcome: Outcome
    message: str
    directory: str
    macs: int | None = None
    params: int | None = None
    validation: float | None = None
    test: float | None = None


@dataclass(frozen=True)
class TimePlan:
    """What a run for a given time knows of its time.

    Attributes:
        costs: What trainings take here, by the names of the measure (`narsfast.pipeline._schedule.Costs`).
        spent: Seconds that processes before this one spent on the run.
        final: Whether the length of the final trainings is chosen.
    """

    costs: Mapping[str, float]
    spent: float = 0.0
    final: bool = False


class FactStore(Protocol):
    """Where facts are kept, in JSON types."""

    def fact(self, key: str) -> Any:
        """Return the fact stored under `key`; None when there is none."""

    def put_fact(self, key: str, value: Any) -> None:
        """Store a fact; the last value holds."""


class Fact(Generic[_T]):
    """An attribute that lives in the store; None until it is set, and when it is set to None.

    Args:
        kind: Its type, which what is read must be of.
        decode: From JSON types; None is by pydantic.
        encode: To JSON types; None stores the value as it is.
    """

    def __init__(
        self,
        kind: Any,
        decode: Callable[[Any], _T] | None = None,
        encode: Callable[[_T], Any] | None = None,
    ) -> None:
        self._kind = kind
        self._decode = decode
        self._encode = encode

    def __set_name__(self, owner: type, name: str) -> None:
        self._key = name

    @overload
    def __get__(self, facts: None, owner: type) -> Fact[_T]: ...
    @overload
    def __get__(self, facts: Facts, owner: type) -> _T | None: ...
    def __get__(self, facts: Facts | None, owner: type) -> Fact[_T] | _T | None:
        """Read the fact.

        Raises:
            UserError: It is damaged.
        """
        if facts is None:
            return self
        stored = facts._store.fact(self._key)
        if stored is None:
            return None
        with legible(f"the fact {self._key} of the run"):
            decoded = stored if self._decode is None else self._decode(stored)
            found: _T = adapter(self._kind).validate_python(decoded)
            return found

    def __set__(self, facts: Facts, value: _T | None) -> None:
        """Store the fact."""
        facts._store.put_fact(
            self._key, value if value is None or self._encode is None else self._encode(value)
        )


@dataclass(frozen=True)
class Worth:
    """What is known of the network of one budget.

    Attributes:
        budget: The budget as people read it.
        candidate: Id of the network's candidate.
        interval: Between which its accuracy is with a probability of 0.9, percent, by the test split.
        anchor: Candidate that is known to work, in the race for the budget; None where there was none.
        over_anchor: Probability that the network is better; None where it is the anchor, or there was no race.
        randoms: Trials inside the budget that were picked at random.
        over_random: Probability that it is better than all of these, at the length of a trial; None where that cannot
            be said.
        trials: How many more the budget would get in another hour.
        gain: Points that these would bring in the mean, at the length of a trial.
    """

    budget: str
    candidate: str
    interval: tuple[float, float]
    anchor: str | None
    over_anchor: float | None
    randoms: int
    over_random: float | None
    trials: int | None
    gain: float | None

    def sentence(self) -> str:
        """Return it in words."""
        low, high = self.interval
        said = [f"accuracy between {low:.1f} and {high:.1f} % (9 in 10)"]
        if self.over_anchor is not None:
            said.append(f"better than what is known to work with probability {self.over_anchor:.2f}")
        elif self.anchor == self.candidate:
            said.append("it is what is known to work")
        if self.over_random is not None:
            said.append(f"than the best of {self.randoms} random trials {self.over_random:.2f}")
        if self.gain is not None:
            said.append(f"{self.trials} more trials in another hour would bring {self.gain:.1f} points")
        return "; ".join(said)


class Facts:
    """The facts of a run.

    Attributes:
        stage: Which stage is to be done: pretrain, optimize, evolve, train, emit, done.
        data: What tells the data from other data (`narsfast.data.Dataset.fingerprint`).
        content: Fingerprint of the files of the data (`narsfast.data.Content`); None where there are none, and of runs
            of versions before it was stored.
        chance: Accuracy in percent of a constant guess on the validation split.
        versions: What trainings depend on: versions, machine, and what each ``auto`` stood for.
        accepted: What the user accepted that changed in `versions` since.
        latency: The latency table in JSON types (`narsfast.cost.LatencyTable`).
        model_statistics: Of the one network whose recipe is searched.
        extra_statistics: Names of statistics that functions of the user count.
        predictor_pretraining: Error and rank correlation per statistic (`narsfast.predictor.PretrainingReport`).
        statistics: Of the trained candidates, by their ids.
        label_noise: By which the early-stop rule corrects; None in runs of versions whose rule knew none.
        early_stop_epoch: Epoch of all labels, 1-based.
        early_stopping: Why it is that one; None in runs of versions that did not store it.
        fits: Of the predictor, one per batch.
        families: What evolution found, one per budget.
        plan: Of a run for a given time.
        further_budgets: Beside those of the configuration, where the families are to be found again.
        finals_expected: How many final trainings there will be.
        teacher: Of the final trainings.
        undistilled: Candidates whose final trainings began before the run's own teacher was known.
        baseline_resolution: Side of the baselines' images, pixels.
        baselines: Known networks that were trained and tested.
        worths: What is known of the networks, in the order of the budgets.
        class_results: How the tested networks answer by class, by candidate or baseline; those that an earlier version
            tested are not among them.
    """

    stage = Fact[str](str)
    data = Fact[Mapping[str, Any]](Mapping[str, Any])
    content = Fact[str](str)
    chance = Fact[float](float)
    versions = Fact[Mapping[str, Any]](Mapping[str, Any])
    accepted = Fact[tuple[str, ...]](tuple[str, ...])
    latency = Fact[Mapping[str, Any]](Mapping[str, Any])
    model_statistics = Fact[Statistics](Statistics)
    extra_statistics = Fact[tuple[str, ...]](tuple[str, ...])
    predictor_pretraining = Fact[Mapping[str, Mapping[str, float]]](Mapping[str, Mapping[str, float]])
    statistics = Fact[Mapping[str, Statistics]](Mapping[str, Statistics])
    label_noise = Fact[LabelNoise](LabelNoise, encode=asdict)
    early_stop_epoch = Fact[int](int)
    early_stopping = Fact[EarlyStopping](EarlyStopping, encode=asdict)
    fits = Fact[tuple[Fit, ...]](tuple[Fit, ...], encode=lambda fits: [asdict(fit) for fit in fits])
    families = Fact[tuple[Family, ...]](
        tuple[Family, ...],
        lambda rows: tuple(map(Family.from_dict, rows)),
        lambda families: [family.to_dict() for family in families],
    )
    plan = Fact[TimePlan](TimePlan, encode=asdict)
    further_budgets = Fact[tuple[str, ...]](tuple[str, ...])
    finals_expected = Fact[int](int)
    teacher = Fact[TeacherChoice](TeacherChoice, encode=TeacherChoice.to_dict)
    undistilled = Fact[tuple[str, ...]](tuple[str, ...])
    baseline_resolution = Fact[int](int)
    baselines = Fact[tuple[BaselineResult, ...]](
        tuple[BaselineResult, ...], encode=lambda results: [asdict(result) for result in results]
    )
    worths = Fact[tuple[Worth, ...]](
        tuple[Worth, ...], encode=lambda worths: [asdict(worth) for worth in worths]
    )
    class_results = Fact[Mapping[str, ClassResults]](
        Mapping[str, ClassResults],
        lambda rows: {name: ClassResults.from_dict(row) for name, row in rows.items()},
        lambda results: {name: result.to_dict() for name, result in results.items()},
    )

    def __init__(self, store: FactStore) -> None:
        self._store = store
