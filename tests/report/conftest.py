"""Runs of known content at several stages, written through the store."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from narsfast.common.early_stopping import EarlyStopping
from narsfast.common.trial import EpochMetrics, Fit, Trial
from narsfast.report import collect, write_report
from narsfast.runs import (
    ClassCounts,
    ClassResults,
    ConfusedImage,
    Confusion,
    PickedCandidate,
    Result,
    RunStore,
)
from narsfast.space import load_space

EPOCHS, STOP, CHANCE, SIZE = 8, 5, 12.5, 8
DIVERGED = 3  # position in the first batch


@dataclass
class KnownRun:
    """A run and its content."""

    run: RunStore
    labels: dict = field(default_factory=dict)  # batch -> labels in order
    scores: dict = field(default_factory=dict)  # batch -> scores in order


def by_class(index):
    """Return the counts of the network of one result: the more MACs, the fewer wrong answers."""
    wrong = 6 - 2 * index
    counts = (
        ClassCounts("<cat>", images=20, correct=20 - wrong, answered=20 - wrong),
        ClassCounts("@home", images=10, correct=10, answered=10 + wrong),
        ClassCounts("fox", images=0, correct=0, answered=0),
    )
    examples = tuple(ConfusedImage(i, 99.0 - i, "QUJD", '<cat>/"1.jpg' if i else "") for i in range(2))
    return ClassResults(counts, (Confusion(0, 1, wrong, examples),))


def metrics_of(curve, known=True):
    """Return losses that fall as the accuracy rises."""
    losses = tuple(round((100 - accuracy) / 20, 6) for accuracy in curve)
    unknown = (None, *losses[1:]) if losses else ()
    return EpochMetrics(losses, unknown, curve) if known else EpochMetrics()


def make_run(
    path, batches=3, results=3, fits=True, full_config=True, counted=True, metrics=True, decided=True
) -> KnownRun:
    space = load_space("tiny")
    config = {"data": "digits", "seed": 0}
    if full_config:
        config |= {
            "space": space.to_dict(),
            "budgets": [{"macs": [0, 1e6]}, {"macs": [0, 2e6]}, {"macs": [0, 4e6]}],
            "threshold": 0.92,
            "correlation": "spearman",
        }
    run = RunStore.open(path, config)
    known = KnownRun(run)
    random = np.random.default_rng(7)
    genes = space.random(batches * SIZE + results, seed=1)
    candidates = space.decode(genes)
    run.facts.versions = {"narsfast": "0.1.0", "torch": "2.14.1"}
    run.facts.chance = CHANCE
    statistics = {}
    for batch in range(batches):
        part = range(batch * SIZE, (batch + 1) * SIZE)
        epochs = EPOCHS if batch == 0 else STOP
        labels = 70 + 5 * batch + 8 * random.random(SIZE)
        scores = [None] * SIZE if batch == 0 else [float(x) for x in labels + random.normal(0, 2, SIZE)]
        known.scores[batch] = scores
        members = [
            PickedCandidate(
                candidates[i].id,
                tuple(int(gene) for gene in genes[i]),
                candidates[i].architecture,
                candidates[i].recipe,
                scores[position],
            )
            for position, i in enumerate(part)
        ]
        run.add_batch(batch, epochs, members)
        known.labels[batch] = []
        for position, member in enumerate(members):
            diverged = batch == 0 and position == DIVERGED
            length = 2 if diverged else epochs
            steps = labels[position] + 4.0 * (np.arange(1, length + 1) - STOP)
            curve = tuple(float(x) for x in np.minimum(99.0, steps))
            outcome, message = ("diverged", "loss is <not> a number") if diverged else ("ok", "")
            trial = Trial(member.candidate, curve, outcome, epochs, 2.5, message, metrics_of(curve, metrics))
            run.add_trial(trial, "search")
            known.labels[batch].append(CHANCE if diverged else curve[STOP - 1])
            statistics[member.candidate] = {
                "macs": 600_000 + 100_000 * position,
                "params": 20_000 + 1000 * position,
            }
    run.facts.statistics = statistics
    if batches:
        run.facts.early_stop_epoch = STOP
    if batches and decided:
        # As the rule may have found it; the curves of this run are too even for it.
        observed, corrected = (0.6, 0.7, 0.75, 0.75, 0.8, 1.0, 1.0, 1.0), (0.7, 0.8, 0.87, 0.87, *[1.0] * 4)
        run.facts.early_stopping = EarlyStopping(
            STOP, "reached", 0.92, "spearman", 7, observed, corrected, (0.85,) * EPOCHS, 2.25, 5.75
        )
    if batches and fits:
        taus = {"predictor": 0.61, "params": 0.31, "macs": 0.25, "ridge": 0.44, "random_forest": 0.52}
        run.facts.fits = tuple(
            Fit(SIZE * (b + 1), taus | {"predictor": 0.4 + b / 10}) for b in range(batches)
        )
        pretraining = {"macs": {"error": 0.0123, "rank_correlation": 0.9987}}
        run.facts.predictor_pretraining = pretraining
    for i in range(results):
        candidate = candidates[batches * SIZE + i].id
        curve = tuple(float(x) for x in np.linspace(60, 96 + i, 12))
        run.add_trial(Trial(candidate, curve, "ok", 12, 30.0, "", metrics_of(curve, metrics)), "final")
        if counted:
            run.facts.class_results = {**(run.facts.class_results or {}), candidate: by_class(i)}
        folder = run.path / "networks" / f"macs {i + 1}M"
        folder.mkdir(parents=True)
        (folder / "README.md").touch()
        (folder / "weights.safetensors").touch()
        run.add_result(
            Result(
                f"macs<={i + 1}M",
                candidate,
                900_000 + i,
                30_000 + i,
                90.5 + i,
                96.0 + i,
                95.25 + i,
                f"networks/macs {i + 1}M",
            )
        )
    return known


@pytest.fixture(scope="session")
def known(tmp_path_factory):
    """Provide a finished run, which must not be changed."""
    known = make_run(tmp_path_factory.mktemp("finished") / "run <b>&")
    yield known
    known.run.close()


@pytest.fixture(scope="session")
def collected(known):
    return collect(known.run)


@pytest.fixture(scope="session")
def report(known):
    """Write the page of the finished run to a folder next to it."""
    return write_report(known.run, known.run.path.parent / "out" / "report.html")
