"""Ask and tell: a scheduler of the user's trains the candidates that the search picks (Algorithm 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from narsfast.common.candidate import Candidate
from narsfast.common.trial import EpochMetrics, Outcome, Trial
from narsfast.errors import UserError
from narsfast.search import IterativeOptimization, PickedBatch

from ._optimization import finish_optimization, start_optimization
from ._search import Search
from ._stages import pretrain
from ._trials import store_batch, stored_trials


@dataclass(frozen=True, eq=False)
class AskedCandidate(Candidate):
    """A candidate that is to be trained.

    Attributes:
        epochs: How long.
        seed: Of its training, from the run's seed.
    """

    epochs: int = 0
    seed: int = 0


class AskTell:
    """Hands out candidates of the batch under way, and picks the next batch when all of it are told.

    Args:
        search: Of a run, opened for writing; what is missing before the optimization is done first.
    """

    def __init__(self, search: Search) -> None:
        self._search = search
        self._steps: IterativeOptimization = start_optimization(search, pretrain(search))
        self._waiting: dict[str, AskedCandidate] = {}
        self._asked: set[str] = set()
        self._advance()

    @property
    def finished(self) -> bool:
        """Whether all batches are trained."""
        return self._steps.next() is None

    def ask(self, n: int) -> list[AskedCandidate]:
        """Return up to `n` candidates to train, each once while this run is open.

        Fewer, or none, where the rest of the batch is being trained, or all batches are.

        Raises:
            UserError: `n` is below 1.
        """
        if n < 1:
            raise UserError(f"n is {n}; it should be at least 1")
        free = [candidate for name, candidate in self._waiting.items() if name not in self._asked][:n]
        self._asked |= {candidate.id for candidate in free}
        return free

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
        """Store a trial.

        Args:
            candidate: One that was asked for, or its id.
            curve: Validation accuracy in percent after each epoch.
            outcome: How the training ended; one that was lost is no trial, and its candidate is to be asked for again.
            seconds: That it took.
            message: One line on an outcome other than ``ok``.
            metrics: What else was measured in each epoch of the curve; None is nothing.

        Raises:
            UserError: The candidate was not asked for or is told already, the curve does not fit the outcome, or the
                metrics do not fit the curve.
        """
        name = candidate if isinstance(candidate, str) else candidate.id
        asked = self._waiting.get(name)
        if asked is None:
            raise UserError(f"candidate {name} is not waited for; tell one that ask gave, and each once")
        accuracies = tuple(float(accuracy) for accuracy in curve)
        if not all(0 <= accuracy <= 100 for accuracy in accuracies):
            raise UserError(
                f"curve of candidate {name} is {accuracies}; accuracies are percents from 0 to 100"
            )
        if outcome == "ok" and len(accuracies) != asked.epochs:
            raise UserError(
                f"curve of candidate {name} has {len(accuracies)} epochs; {asked.epochs} were asked for, or tell how it "
                "ended by outcome, such as 'failed'"
            )
        if outcome == "lost":
            self._asked.discard(name)
            return
        try:
            trial = Trial(
                name, accuracies, outcome, asked.epochs, seconds, message, metrics or EpochMetrics()
            )
        except ValueError as error:
            raise UserError(f"metrics of candidate {name}: {error}") from None
        self._search.store.add_trial(trial, "search")
        del self._waiting[name]
        if not self._waiting:
            self._advance()

    def _advance(self) -> None:
        """Learn from whole batches, and hold what the first incomplete one still needs."""
        while (batch := self._steps.next()) is not None:
            candidates = store_batch(self._search, batch)
            stored = stored_trials(
                self._search, "search", dict.fromkeys((c.id for c in candidates), batch.epochs)
            )
            self._waiting = {c.id: self._to_train(c, batch) for c in candidates if c.id not in stored}
            if self._waiting:
                self._asked -= self._waiting.keys()  # those of a rung before go on
                return
            trials = [stored[candidate.id] for candidate in candidates]
            if all(trial.outcome != "ok" for trial in trials) and not batch.rung:
                raise UserError(
                    f"no training of batch {batch.index + 1} ended well, the first {trials[0].ending()}"
                )
            self._steps.learn(trials)
        finish_optimization(self._search, self._steps)

    def _to_train(self, candidate: Candidate, batch: PickedBatch) -> AskedCandidate:
        seed = self._search.seed("search", candidate.id)
        return AskedCandidate(candidate.architecture, candidate.recipe, epochs=batch.epochs, seed=seed)
