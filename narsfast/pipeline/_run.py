"""A run as Python users see it: what it found and tried, its predictor, ask and tell."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from narsfast.arch import Definition, Kept, NetworkSpec, kept_of, specs_of
from narsfast.common.candidate import Candidate, Value
from narsfast.common.files import output_path
from narsfast.common.progress import Progress, silent
from narsfast.common.trial import EpochMetrics, Outcome
from narsfast.cost import Budget
from narsfast.emit import load
from narsfast.errors import UserError
from narsfast.predictor import Predictor
from narsfast.runs import ClassResults, Family, FoundCandidate, Purpose, Result, RunState, RunStore
from narsfast.search import labels_of
from narsfast.space import Recipe, Space

from ._ask_tell import AskedCandidate, AskTell
from ._config import RunConfig
from ._open import open_search
from ._own import Own
from ._stages import optimize

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class TrialRow:
    """One training of a run, with what was trained.

    Attributes:
        candidate: Id of the candidate; of a baseline its reference.
        purpose: ``search``, ``final`` or ``baseline``.
        batch: Number of the batch that picked it, from 0; None where no batch did.
        score: Accuracy in percent that the predictor expected when it picked the candidate.
        label: Accuracy at the early-stop epoch, percent, or what `narsfast.search.labels_of` takes it to be of a
            training that was cut before; None before that epoch is known.
        curve: Validation accuracy in percent after each epoch.
        metrics: What else was measured in each epoch; empty in runs of versions that kept nothing else.
        epochs: Asked for.
        outcome: How the training ended.
        message: One line on an outcome other than ``ok``.
        seconds: That it took.
        architecture: Value of each active architecture name.
        recipe: Value of each active recipe name.
        statistics: What the architecture costs.
        kept: What the candidate has of its pretrained parent; None where it has none.
    """

    candidate: str
    purpose: Purpose
    batch: int | None
    score: float | None
    label: float | None
    curve: tuple[float, ...]
    epochs: int
    outcome: Outcome
    message: str
    seconds: float
    architecture: Mapping[str, Value]
    recipe: Mapping[str, Value]
    statistics: Mapping[str, int | float]
    kept: Kept | None = None
    metrics: EpochMetrics = field(default_factory=EpochMetrics)


@dataclass(frozen=True)
class FoundNetwork:
    """The network that a run found for one budget.

    Attributes:
        budget: Text of the budget, as in ``macs=50M``.
        candidate: Architecture and recipe by the names of the space.
        architecture: What `narsfast.create_model` builds: a definition, or the reference of the one network whose
            recipe is searched.
        recipe: To train it with.
        statistics: What it costs.
        predicted: Accuracy in percent that the predictor expects at the early-stop epoch.
        std: The predictor's stated deviation, percent.
        validation: Accuracy in percent on the validation split; None before it is trained fully.
        test: Accuracy in percent on the test split; None before it is tested.
        by_class: How it answers on the test split by class, as in ``by_class.balanced_accuracy``; None before it is
            tested, or where version 0.1 tested it.
        directory: Its folder; None before it is emitted.
        kept: What it has of its pretrained parent; None where it has none.
    """

    budget: str
    candidate: Candidate
    architecture: Definition | str
    recipe: Recipe
    statistics: Mapping[str, int | float]
    predicted: float
    std: float
    validation: float | None = None
    test: float | None = None
    by_class: ClassResults | None = None
    directory: Path | None = None
    kept: Kept | None = None

    def load(self, *, ops: str = "fused", run_code: bool = False) -> nn.Module:
        """Return the trained network on the CPU, in evaluation mode; arguments and errors as for `narsfast.load`.

        Raises:
            UserError: It is not emitted yet.
        """
        if self.directory is None:
            raise UserError(f"budget {self.budget}: its network is not emitted yet; let the run end")
        return load(self.directory, ops=ops, run_code=run_code)


class Run:
    """A run directory: everything that one search did.

    Reading works while another process drives the run. `ask` and `tell` drive it themselves, until `close`; a run is
    a context manager that closes it.

    Args:
        path: The directory.
        progress: Told of long stages by `ask` and `tell`.
        own: What the maker of the run brought.

    Raises:
        UserError: There is no run.
    """

    def __init__(self, path: str | Path, progress: Progress = silent, own: Own | None = None) -> None:
        self.path = output_path(path)
        self._progress = progress
        self._own = own or Own()
        self._ask_tell: tuple[Any, AskTell] | None = None
        with self._read():
            pass

    @classmethod
    def create(
        cls,
        path: str | Path,
        options: Mapping[str, Any] | None = None,
        *,
        workers: int | None = None,
        progress: Progress = silent,
        own: Own | None = None,
    ) -> Run:
        """Make a run directory, or resume one, without training anything; arguments as in `open_search`."""
        open_search(path, options or {}, workers, progress, own).close()
        return cls(path, progress, own)

    def _read(self) -> RunStore:
        return RunStore.read(self.path)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the run directory; a second call does nothing."""
        if self._ask_tell is not None:
            self._ask_tell[0].close()
            self._ask_tell = None

    @property
    def config(self) -> RunConfig:
        """The options of the run, completed."""
        with self._read() as store:
            return RunConfig.of_stored(store.config)

    @cached_property
    def space(self) -> Space:
        """The space, with the fields that were fixed."""
        return Space.from_dict(self.config.space)

    @property
    def state(self) -> RunState:
        """How far the run is."""
        with self._read() as store:
            return store.state()

    @property
    def results(self) -> list[Result]:
        """The final table, one line per budget; empty before the run has ended."""
        with self._read() as store:
            return store.results()

    @property
    def families(self) -> tuple[Family, ...]:
        """What evolution found, one family per budget."""
        with self._read() as store:
            return store.facts.families or ()

    @cached_property
    def predictor(self) -> Predictor:
        """The fitted predictor.

        Raises:
            UserError: The search has not ended.
        """
        if self.state.stage not in ("evolve", "train", "emit", "done"):
            raise UserError(f"run: {self.path} has no fitted predictor yet; its batches are not all trained")
        with open_search(self.path, None, 1, self._progress, self._own) as search:
            return optimize(search)

    def best(self, budget: Budget | str | None = None) -> FoundNetwork:
        """Return the network of a budget.

        Args:
            budget: As in ``macs=50M`` or ``Budget(macs=50e6)``; None where the run has one.

        Raises:
            UserError: The run has no such budget, or nothing is found yet.
        """
        families = {family.budget: family for family in self.families}
        if not families:
            raise UserError(f"run: {self.path} has found nothing yet; its search is under way")
        text = self._text(budget, list(families))
        if text not in families:
            raise UserError(f"budget {text} is none of the run's; they are {', '.join(families)}")
        return self._found(families[text])

    def _text(self, budget: Budget | str | None, known: Sequence[str]) -> str:
        if budget is None:
            if len(known) > 1:
                raise UserError(f"budget is missing; the run has {', '.join(known)}")
            return known[0]
        if isinstance(budget, str) and budget in known:
            return budget
        statistics = [*self.families[0].candidates[0].statistics]
        return budget.text() if isinstance(budget, Budget) else Budget.parse(budget, statistics).text()

    def _found(self, family: Family) -> FoundNetwork:
        results = {result.budget: result for result in self.results}
        result = results.get(family.label)
        candidates = {found.id: found for found in family.candidates}
        found: FoundCandidate = candidates[result.candidate] if result else family.candidates[0]
        with self._read() as store:
            finals = {trial.candidate: trial for trial in store.trials("final")}
            by_class = store.facts.class_results or {}
        final = finals.get(found.id)
        return FoundNetwork(
            budget=family.budget,
            candidate=found.candidate,
            architecture=self.network(found.candidate).source,
            recipe=Recipe.of(found.recipe),
            statistics=found.statistics,
            predicted=found.predicted,
            std=found.std,
            validation=final.curve[-1] if final and final.outcome == "ok" else None,
            test=result.test if result else None,
            by_class=by_class.get(found.id) if result else None,
            directory=self.path / result.directory if result else None,
            kept=kept_of(self.space, [found.candidate])[0],
        )

    def network(self, candidate: Candidate) -> NetworkSpec:
        """Return the network of a candidate of the run's space, to be built or counted."""
        config = self.config
        if config.model is not None and not config.pretrained:
            return NetworkSpec(config.model, int(candidate.architecture["resolution"]))
        return specs_of(self.space, [candidate])[0]

    def trials(self, purpose: Purpose = "search") -> list[TrialRow]:
        """Return the trainings of one purpose that have ended, in the order of the batches, then by candidate."""
        with self._read() as store:
            epoch, chance = store.facts.early_stop_epoch, store.facts.chance
            picked = {c.candidate: (b.index, c) for b in store.batches() for c in b.candidates}
            found = {f.id: f for family in store.facts.families or () for f in family.candidates}
            counted = store.facts.statistics or {}
            trials = store.trials(purpose)
        labels: list[float | None] = [None] * len(trials)
        if epoch is not None and chance is not None:
            labels = labels_of(trials, epoch, chance).tolist()
        candidates = {name: known.candidate for name, known in found.items()}
        candidates |= {name: Candidate(one.architecture, one.recipe) for name, (_, one) in picked.items()}
        kept = dict(zip(candidates, kept_of(self.space, list(candidates.values())), strict=True))
        rows = []
        for trial, label in zip(trials, labels, strict=True):
            batch, source = picked.get(trial.candidate, (None, None))
            known = source or found.get(trial.candidate)
            late = found.get(trial.candidate)
            rows.append(
                TrialRow(
                    candidate=trial.candidate,
                    purpose=purpose,
                    batch=batch,
                    score=source.score if source else None,
                    label=label,
                    curve=trial.curve,
                    epochs=trial.epochs,
                    outcome=trial.outcome,
                    message=trial.message,
                    seconds=trial.seconds,
                    architecture=known.architecture if known else {},
                    recipe=known.recipe if known else {},
                    statistics=counted.get(trial.candidate) or (late.statistics if late else {}),
                    kept=kept.get(trial.candidate),
                    metrics=trial.metrics,
                )
            )
        return sorted(rows, key=lambda row: (row.batch is None, row.batch or 0, row.candidate))

    def trials_frame(self, purpose: Purpose = "search") -> pandas.DataFrame:
        """Return `trials` as a pandas frame: architecture, recipe, statistics and metrics as columns of their own.

        ``kept`` is the share of its parent's weights that a child has; runs without parents do not have the column.

        Raises:
            UserError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise UserError("trials_frame needs pandas; `pip install pandas` adds it") from None
        rows = []
        for trial in self.trials(purpose):
            row = asdict(replace(trial, kept=None))
            del row["kept"]
            if trial.kept is not None:
                row["kept"] = trial.kept.share
            for part in ("architecture", "recipe", "statistics", "metrics"):
                row |= {f"{part}.{name}": value for name, value in row.pop(part).items()}
            rows.append(row)
        return pandas.DataFrame(rows)

    def predict(self, candidates: Iterable[Candidate]) -> tuple[list[float], list[float]]:
        """Return accuracy in percent and its standard deviation as the predictor expects them, one per candidate.

        Raises:
            UserError: As `predictor`; or a candidate is not of the space.
        """
        mean, std = self.predictor.predict(self.space.encode(list(candidates)))
        return mean.tolist(), std.tolist()

    def ask(self, n: int = 1) -> list[AskedCandidate]:
        """Return up to `n` candidates that a scheduler of the user's is to train, each with its epochs and its seed.

        None where the rest of a batch is being trained, or the search has ended (`finished`). What is asked and not
        told is asked again when the run is opened the next time.

        Raises:
            UserError: Another process drives the run.
        """
        return self._asking().ask(n)

    def tell(
        self,
        candidate: Candidate | str,
        curve: Sequence[float],
        *,
        outcome: Outcome = "ok",
        seconds: float = 0.0,
        message: str = "",
        metrics: EpochMetrics | None = None,
    ) -> None:
        """Store a trial of a candidate that `ask` gave; arguments and errors as of `AskTell.tell`."""
        self._asking().tell(
            candidate, curve, outcome=outcome, seconds=seconds, message=message, metrics=metrics
        )

    @property
    def finished(self) -> bool:
        """Whether all batches are trained."""
        return self._asking().finished

    def _asking(self) -> AskTell:
        if self._ask_tell is None:
            search = open_search(self.path, None, 1, self._progress, self._own)
            try:
                self._ask_tell = search, AskTell(search)
            except BaseException:
                search.close()
                raise
        return self._ask_tell[1]

    def __repr__(self) -> str:
        state = self.state
        return f"Run({str(self.path)!r}, stage {state.stage or 'none'}, {state.results} results)"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(r.budget)}</td><td>{r.macs:,}</td><td>{r.params:,}</td>"
            f"<td>{r.predicted:.2f}</td><td>{r.validation:.2f}</td><td>{r.test:.2f}</td></tr>"
            for r in self.results
        )
        heads = ("budget", "MACs", "params", "predicted %", "validation %", "test %")
        head = "".join(f"<th>{name}</th>" for name in heads)
        return f"<p>{html.escape(repr(self))}</p><table><tr>{head}</tr>{rows}</table>"
