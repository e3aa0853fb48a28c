"""What a run was worth: how sure it is of each network, whether it beats what is known, and what more time would buy.

All of it is this project's choice. An accuracy is known as well as the test split says. Who is better in the race is
judged by the finalists' standings after as many epochs. Against trials that were picked at random, and for the gain of
more trials, the Gaussian process of the run answers, at the length of a trial; a run without one makes no claim there.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from narsfast.predictor import Process
from narsfast.runs import Family, Result, Worth
from narsfast.search import standings
from narsfast.space import Genes

from ._checks import wanted_budgets
from ._judge import labeled, process_of
from ._schedule import SEARCH_SHARE
from ._search import Search

Floats = NDArray[np.float64]

INTERVAL = 0.9
"""Probability of the interval of a test accuracy."""
DRAWS = 512
CANDIDATES = 192
"""Draws of the process, and candidates of the pool that more trials would choose from: the most promising ones."""
HOUR = 3600.0


def worth_of(search: Search, family: Family, result: Result) -> Worth:
    """Return what is known of the network of a budget."""
    process = process_of(search)
    known = None if process is None else labeled(search)
    over_random = trials = gain = None
    randoms = 0
    if process is not None and known is not None and len(known[1]):
        fitted = process.fit(*known, search.seed("worth"))
        found = search.space.encode([family.found(result.candidate).candidate])
        random = _random_trials(search, family, found)
        randoms = len(random)
        if randoms:
            over_random = chance_of_best(fitted, found, random, search.seed("worth", family.budget, "random"))
        trials = _trials_in(search, HOUR)
        gain = gain_of_trials(
            fitted,
            found,
            _promising(search, fitted, family),
            trials,
            _noise(search, fitted, found),
            search.seed("worth", family.budget, "trials"),
        )
    return Worth(
        budget=family.label,
        candidate=result.candidate,
        interval=accuracy_interval(result.test, len(search.data.test)),
        anchor=next((one.candidate for one in family.finalists if one.origin == "anchor"), None),
        over_anchor=_over_anchor(search, family, result),
        randoms=randoms,
        over_random=over_random,
        trials=trials,
        gain=gain,
    )


def accuracy_interval(accuracy: float, images: int) -> tuple[float, float]:
    """Return the central interval of `INTERVAL` of a measured accuracy, percent, with every accuracy as likely before.

    Args:
        accuracy: Percent.
        images: On how many it was measured.
    """
    right = round(accuracy / 100 * images)
    tail = (1 - INTERVAL) / 2
    low, high = beta.ppf([tail, 1 - tail], right + 1, images - right + 1)
    return 100 * float(low), 100 * float(high)


def chance_of_best(process: Process, found: Genes, others: Genes, seed: int) -> float:
    """Return the probability that a candidate (1, F) is better than all others (n, F), none of which is it."""
    draws = _draws(process, np.concatenate([found, others]), seed)
    return float((draws[:, 0] > draws[:, 1:].max(axis=1)).mean())


def gain_of_trials(
    process: Process, found: Genes, candidates: Genes, trials: int, noise: float, seed: int
) -> float:
    """Return the points by which the best known candidate is better after more trials, in the mean.

    The candidates of the highest mean plus deviation are trained, each once; then the one of the highest mean is taken.

    Args:
        process: Fitted to the trials so far.
        found: What is taken now, (1, F).
        candidates: Which could be trained, (n, F).
        trials: How many are.
        noise: Variance of a label, points squared.
        seed: Of the draws.
    """
    mean, covariance = process.joint(np.concatenate([found, candidates]))
    order = np.argsort(-(mean + np.sqrt(np.clip(covariance.diagonal(), 0, None)))[1:], kind="stable") + 1
    chosen = order[:trials]
    if not len(chosen):
        return 0.0
    observed = covariance[np.ix_(chosen, chosen)] + max(noise, 1e-6) * np.eye(len(chosen))
    # The means after the trials are normal: what the labels say of each candidate, as far as they vary.
    update = np.linalg.solve(observed, covariance[chosen]).T @ covariance[chosen]
    drawn = np.random.default_rng(seed).multivariate_normal(mean, update, DRAWS, method="eigh")
    after, now = np.clip(drawn, 0, 100), np.clip(mean, 0, 100)  # what the process does not know of accuracies
    return max(0.0, float((after.max(axis=1) - after[:, 0]).mean()) - max(0.0, float(now.max() - now[0])))


def _draws(process: Process, genes: Genes, seed: int) -> Floats:
    mean, covariance = process.joint(genes)
    found: Floats = np.random.default_rng(seed).multivariate_normal(mean, covariance, DRAWS, method="eigh")
    return found


def _noise(search: Search, process: Process, found: Genes) -> float:
    """Return the variance of a label of the network, points squared."""
    assert process.noise is not None
    return float(process.noise.variance(process.predict(found)[0])[0])


def _random_trials(search: Search, family: Family, found: Genes) -> Genes:
    """Return the trials inside a budget that were picked at random, but for the network itself (1, F), (n, F)."""
    pool, budget = search.pool, wanted_budgets(search, [family.budget])[family.budget]
    first = next((batch for batch in search.store.batches() if batch.index == 0), None)
    genes = np.array([one.genes for one in first.candidates] if first else [], np.int16)
    genes = genes.reshape(-1, len(search.space.fields))
    keys = search.space.keys
    known = np.concatenate([keys(pool.genes[: pool.anchors]), keys(found)])
    inside = budget.within(search.counter(genes), search.counter.names)
    return genes[inside & ~np.isin(keys(genes), known)]


def _promising(search: Search, process: Process, family: Family) -> Genes:
    """Return candidates of the pool inside a budget, those of the highest mean and deviation (n, F)."""
    pool = search.pool
    inside = wanted_budgets(search, [family.budget])[family.budget].within(
        pool.statistics, search.counter.names
    )
    genes = pool.genes[inside]
    mean, deviation = process.predict(genes) if len(genes) else (np.empty(0), np.empty(0))
    return genes[np.argsort(-(mean + deviation), kind="stable")[:CANDIDATES]]


def _trials_in(search: Search, seconds: float) -> int:
    """Return how many trials a budget gets in so much more time."""
    took = [trial.seconds for trial in search.store.trials("search") if trial.outcome == "ok"]
    budgets = max(1, len(search.store.facts.families or ()))
    mean = float(np.mean(took)) if took else math.inf
    return int(SEARCH_SHARE * seconds * search.workers / max(mean, 1e-9) / budgets)


def _over_anchor(search: Search, family: Family, result: Result) -> float | None:
    """Return the probability that the network is better than the anchor of its race; None where it is the anchor."""
    names = [one.candidate for one in family.finalists]
    anchor = next((one.candidate for one in family.finalists if one.origin == "anchor"), None)
    if anchor is None or anchor == result.candidate or result.candidate not in names:
        return None
    trials = {trial.candidate: trial for trial in search.store.trials("final") if trial.outcome == "ok"}
    racing = [trials[name] for name in names if name in trials]
    if anchor not in trials or result.candidate not in trials:
        return None
    first = min(trial.epochs for trial in racing)
    standing = dict(
        zip(
            [trial.candidate for trial in racing],
            standings([trial.until(first) for trial in racing], len(search.data.val)),
            strict=True,
        )
    )
    mine, other = standing[result.candidate], standing[anchor]
    deviation = math.hypot(mine.deviation, other.deviation)
    if deviation == 0:
        return 1.0 if mine.accuracy > other.accuracy else 0.5
    return NormalDist().cdf((mine.accuracy - other.accuracy) / deviation)
