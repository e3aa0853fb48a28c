"""The stages of a search as functions: what the command line and users call.

Each stage takes a search (`open_search`), does what is not yet done, and leaves its outcome in the run; so a stage
called again is free, and a run that was stopped anywhere is resumed. The order is pretrain, optimize, evolve, train,
emit.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from narsfast.arch import kept_of
from narsfast.common.label_noise import LabelNoise
from narsfast.common.listed import listed
from narsfast.common.machine import persistently
from narsfast.common.progress import Progress, silent
from narsfast.common.trial import Trial
from narsfast.cost import Budget
from narsfast.data import batches
from narsfast.emit import Measurements, describe_data
from narsfast.emit import emit as emit_network
from narsfast.errors import UserError
from narsfast.predictor import DamagedPredictorError, Predictor, load_predictor, save_predictor
from narsfast.predictor import pretrain as pretrain_predictor
from narsfast.report import write_report
from narsfast.runs import Family, FoundCandidate, Result, passed_over
from narsfast.search import evolve as evolve_candidates
from narsfast.search import pareto as pareto_front
from narsfast.space import PARENT, Recipe
from narsfast.training import effective_backend

from ._checks import (
    check_budget,
    check_model,
    check_parents,
    check_reach,
    inside_pool,
    refuse_front,
    tell_untrained,
    wanted_budgets,
)
from ._class_results import store_class_results
from ._families import family_of, found_candidates, trained_genes
from ._final_test import final_test
from ._finals import final_task, first_to_train, still_used, tell_passed_over
from ._folders import family_folders
from ._judge import caution_of, judge_of
from ._lost_weights import forget_lost
from ._open import open_search
from ._optimization import AFTER_OPTIMIZE, finish_optimization, start_optimization
from ._plan import plan, plan_finals, spend
from ._race import race_state
from ._reference_networks import baseline_task, test_baselines
from ._resume import Resume
from ._search import Search
from ._teacher import check_teacher, describe_teacher, teacher_task
from ._trials import evaluate_batch, remove_checkpoints, run_tasks
from ._tuning import tune_parents, tuning_facts
from ._worth import worth_of

_log = logging.getLogger("narsfast.run")


def run(
    out: str | Path,
    options: Mapping[str, Any] | None = None,
    workers: int | None = None,
    progress: Progress = silent,
    resume: Resume | None = None,
) -> list[Result]:
    """Run every stage; arguments as in `open_search`.

    Returns:
        One result per budget, in the order of the budgets.
    """
    with open_search(out, options, workers, progress, resume=resume) as search:
        pretrain(search)
        optimize(search)
        evolve(search)
        train(search)
        return emit(search)


def pretrain(search: Search) -> Predictor:
    """Sample the pool (Algorithm 1, step 2) and pretrain the predictor on the pool's statistics."""
    check_model(search)
    known = search.store.facts.predictor_pretraining is not None
    if known and (stored := _stored_predictor(search, "pretrained")) is not None:
        return stored
    if not known:
        search.store.facts.stage = "pretrain"
    check_parents(search)
    budgets = [search.budget(text) for text in search.config.budgets]
    for budget in budgets:
        check_reach(search, budget, f"budget {budget.label()}")
    if search.config.pool_bounds:
        check_reach(
            search, search.budget(search.config.pool_bounds), f"pool_bounds {search.config.pool_bounds!r}"
        )
    pool = search.pool
    for budget in budgets:
        check_budget(search, budget, pool)
    check_teacher(search)
    plan(search, pool)
    predictor = pretrain_predictor(
        search.counter,
        pool.genes,
        search.seed("pretrain"),
        members=search.config.ensemble_members,
        progress=search.progress,
    )
    persistently(lambda: save_predictor(predictor, search.store.path / "pretrained"), "saving the predictor")
    if not known:
        search.store.facts.chance = search.data.chance
        search.store.facts.label_noise = LabelNoise(len(search.data.val))
        search.store.facts.predictor_pretraining = predictor.pretraining.to_dict()
    return predictor


def _stored_predictor(search: Search, name: str) -> Predictor | None:
    """Load a predictor of the run; None, which is logged, where its files are lost or damaged.

    It is computed again from what the database holds, with the same outcome.
    """
    try:
        return load_predictor(search.store.path / name, search.space, search.counter)
    except DamagedPredictorError as error:
        _log.warning("%s; it is computed again from the run's database", error)
        return None


def optimize(search: Search) -> Predictor:
    """Train batches of promising candidates and refit the predictor after each (Algorithm 1, step 3).

    Trials that the run already holds are not trained again.
    """
    if search.store.facts.stage in AFTER_OPTIMIZE:
        stored = _stored_predictor(search, "predictor")
        if stored is not None:
            return stored
    steps = start_optimization(search, pretrain(search))
    tune_parents(search)
    while (batch := steps.next()) is not None:
        steps.learn(evaluate_batch(search, batch))
        spend(search)
    return finish_optimization(search, steps)


def evolve(search: Search, added: Sequence[str] | str = ()) -> list[Family]:
    """Search the best candidates of every budget on the predictor (Algorithm 2).

    Args:
        search: Of a run that is optimized; what is missing is done first.
        added: Further budgets, as in ``macs=50M``; they stay with the run.

    Returns:
        One family per budget.
    """
    added = listed(added, str, "budgets", "macs=50M")
    wanted_budgets(search, (*search.config.budgets, *added))  # a wrong one is said before anything is trained
    predictor = optimize(search)
    known = {family.budget: family for family in search.store.facts.families or ()}
    further = search.store.facts.further_budgets or ()
    wanted = wanted_budgets(search, (*search.config.budgets, *known, *further, *added))
    missing = {text: budget for text, budget in wanted.items() if text not in known}
    if missing:
        for budget in missing.values():
            check_reach(search, budget, f"budget {budget.label()}")
        pool = search.pool
        for budget in missing.values():
            check_budget(search, budget, pool)
            tell_untrained(search, budget, f"budget {budget.label()}")
        search.progress("evolve", 0, 1)
        judge, caution = judge_of(search, predictor), caution_of(search)
        evolved = evolve_candidates(
            judge,
            search.counter,
            [inside_pool(search, budget) for budget in missing.values()],
            pool,
            trained_genes(search),
            search.seed("evolve"),
            caution=caution,
        )
        evolved = [replace(found, scores=found.scores + caution * found.std) for found in evolved]
        search.progress("evolve", 1, 1)
        for (text, budget), result in zip(missing.items(), evolved, strict=True):
            known[text] = family_of(search, text, budget, result, judge)
        search.store.facts.families = tuple(known.values())
        search.store.facts.stage = "train"
    return list(known.values())


def pareto(search: Search, statistics: Sequence[str], between: str | None = None) -> list[FoundCandidate]:
    """Search the whole front of predicted accuracy against one or two statistics.

    Args:
        search: Of a run that is optimized; what is missing is done first.
        statistics: Their names.
        between: Bounds of the first one, as in ``50M:100M``; None is all that the pool spans.

    Returns:
        The front's candidates, by the first statistic.
    """
    refuse_front(search, statistics)
    if between:
        named = between.startswith(f"{statistics[0]}=")
        budget = search.budget(between if named else f"{statistics[0]}={between}", "between")
        check_budget(search, budget, search.pool, f"between {between!r}")
    elif search.config.pool_bounds:
        budget = search.budget(search.config.pool_bounds)
    else:
        budget = Budget({statistics[0]: (0.0, math.inf)})
    tell_untrained(search, budget, "the front")
    predictor = optimize(search)
    pool = search.pool
    search.progress("pareto", 0, 1)
    front = pareto_front(
        judge_of(search, predictor),
        search.counter,
        statistics,
        inside_pool(search, budget),
        pool,
        trained_genes(search),
        search.seed("pareto"),
    )
    search.progress("pareto", 1, 1)
    return found_candidates(search, front, len(front.scores))


def train(search: Search) -> dict[str, Trial]:
    """Find the network of every budget by full trainings (`race_state`), then train the baselines.

    What was trained before is kept. Teachers are trained before those that they teach.

    Returns:
        The trial of each budget's network, by the budget's text.

    Raises:
        UserError: Every candidate that the run keeps for a budget ended badly, or the teacher did.
    """
    families = evolve(search)
    plan_finals(search, families)
    finals = {trial.candidate: trial for trial in search.store.trials("final")}
    before = set(finals)
    while True:
        races = {family.budget: race_state(search, family, finals) for family in families}
        chosen = {budget: held.chosen for budget, held in races.items() if held.chosen is not None}
        used = [final_task(search, c) for c in still_used(search, families, chosen) if c.id in before]
        if lost := forget_lost(search, used, "final"):
            before -= lost
            finals = {name: trial for name, trial in finals.items() if name not in lost}
            continue
        now = first_to_train(search, families, races)
        if not now:
            break
        tell_passed_over(search, families, races)
        tune_parents(search)
        _train_teacher(search)
        racing = {finalist.candidate for family in families for finalist in family.finalists}
        missing = {name for held in races.values() for name in held.missing}
        search.store.facts.finals_expected = len(racing | missing | finals.keys())
        known = {found.id: found for family in families for found in family.candidates}
        tasks = [final_task(search, known[name], epochs) for name, epochs in now.items()]
        finals |= {trial.candidate: trial for trial in run_tasks(search, tasks, "final", "train")}
    remove_checkpoints(search, finals.values())
    baselines = [baseline_task(search, reference) for reference in search.config.baselines]
    if baselines:
        tested = {result.model for result in search.store.facts.baselines or ()}
        forget_lost(search, [task for task in baselines if task.candidate not in tested], "baseline")
        list(run_tasks(search, baselines, "baseline", "train the baselines"))
    if search.store.facts.stage == "train":
        search.store.facts.stage = "emit"
    return {budget: finals[found.id] for budget, found in chosen.items()}


def emit(search: Search) -> list[Result]:
    """Test each trained network once and write its folder; test the baselines once; then write the report.

    Returns:
        One result per budget.
    """
    trials = train(search)
    search.end_workers()
    families = evolve(search)
    known = {result.budget: result for result in search.store.results()}
    written = {family.budget: known[family.label].directory for family in families if family.label in known}
    folders = family_folders([family.budget for family in families], written)
    for index, family in enumerate(families):
        search.progress("test and emit", index, len(families))
        if family.label not in known:
            known[family.label] = _emit_family(search, family, trials[family.budget], folders[family.budget])
            search.store.add_result(known[family.label])
    search.progress("test and emit", len(families), len(families))
    if search.config.baselines:
        test_baselines(search)
    worths = search.store.facts.worths or ()
    if search.steered and {worth.budget for worth in worths} != {family.label for family in families}:
        search.store.facts.worths = tuple(worth_of(search, one, known[one.label]) for one in families)
    search.store.facts.stage = "done"
    page = search.store.path / "report.html"
    persistently(lambda: write_report(search.store, page), "writing the report")
    return [known[family.label] for family in families]


def _train_teacher(search: Search) -> None:
    """Train a teacher that is no network of the run."""
    task = teacher_task(search)
    if task is not None:
        forget_lost(search, [task], "baseline")
        (trial,) = run_tasks(search, [task], "baseline", "train the teacher")
        if trial.outcome != "ok":
            raise UserError(
                f"distill: the training of the teacher {task.candidate} {trial.ending()}, or name another teacher "
                "(`none` is without)"
            )


def _emit_family(search: Search, family: Family, trial: Trial, directory: Path) -> Result:
    """Test the network of one budget and write its folder."""
    best = next(found for found in family.candidates if found.id == trial.candidate)
    task = search.task(best.candidate, trial.epochs, trial.epochs, "final")
    recipe, parent = Recipe.of(task.recipe), search.parent_of(best.candidate)
    name = str(best.architecture.get(PARENT))
    data = search.data.prepared(task.preparation)
    tested = persistently(lambda: final_test(task, data), f"the test of candidate {trial.candidate}")
    store_class_results(search.store, trial.candidate, tested.by_class)
    found = Measurements(
        budget=family.label,
        statistics=best.statistics,
        predicted=best.predicted,
        validation=trial.curve[-1],
        test=tested.accuracy,
        by_class=tested.by_class,
        epochs=trial.epochs,
        seed=task.seed,
        candidate=trial.candidate,
        seconds=trial.seconds,
        optim_backend=effective_backend(recipe.optimizer, search.trainer.optim_backend),
        distillation=describe_teacher(search, trial.candidate),
        parent=None if parent is None else parent.facts() | tuning_facts(search, name),
        kept=kept_of(search.space, [best.candidate])[0],
        passed_over=tuple(asdict(passed) for passed in passed_over(search.store, family, trial.candidate)),
    )
    persistently(
        lambda: emit_network(
            search.store.path / directory,
            tested.network,
            recipe,
            describe_data(data),
            found,
            test_batches=batches(data.test, task.network.resolution, 128),
            given=task.network if search.config.model is not None or task.network.reference else None,
        ),
        f"writing {directory}",
    )
    return Result(
        budget=family.label,
        candidate=trial.candidate,
        macs=int(best.statistics["macs"]),
        params=int(best.statistics["params"]),
        predicted=best.predicted,
        validation=trial.curve[-1],
        test=tested.accuracy,
        directory=str(directory),
    )
