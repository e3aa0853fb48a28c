import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import narsfast
from narsfast import pipeline
from narsfast.common.trial import EpochMetrics, Trial
from narsfast.errors import UserError
from narsfast.pipeline import _final_test, _stages
from narsfast.pipeline._config import resolve_config
from narsfast.pipeline._judge import judge_of
from narsfast.predictor import _fitting, _pretraining
from narsfast.runs import RunStore, _processes
from narsfast.space import Space, load_space

pytestmark = pytest.mark.usefixtures("always_few_steps")

SMALL = Path(__file__).parent.parent / "small.yaml"
SETTINGS = {
    "space": str(SMALL),
    "pool_size": 128,
    "trials_per_batch": 4,
    "finalists": 1,
    "iterations": 2,
    "epochs": 3,
    "final_epochs": 4,
    "ensemble_members": 2,
    "seed": 5,
}


def table(path):
    """Return what must be equal however a run went: batches, curves and results."""
    with RunStore.read(path) as run:
        return (
            [(b.index, b.epochs, b.candidates) for b in run.batches()],
            [(t.candidate, t.curve) for t in (*run.trials("search"), *run.trials("final"))],
            run.facts.early_stop_epoch,
            run.facts.families,
            run.results(),
        )


@pytest.fixture(scope="module")
def options(few_images):
    return {**SETTINGS, "data": few_images}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, options):
    path = tmp_path_factory.mktemp("runs") / "small"
    results = pipeline.run(path, options, workers=1)
    return path, results


def test_one_result_a_budget_inside_it(finished):
    path, results = finished
    assert [result.budget for result in results] == ["macs<=200K", "macs<=400K"]
    for result, limit in zip(results, (200_000, 400_000), strict=True):
        assert 100_000 <= result.macs <= limit
        assert 0 <= result.predicted <= 100
        assert 0 <= result.test <= 100
        network = narsfast.load(path / result.directory)
        assert sum(p.numel() for p in network.parameters()) == result.params
        assert network(torch.zeros(2, 1, 16, 16)).shape == (2, 10)
    assert (path / "report.html").stat().st_size > 100_000


def test_answers_by_class_are_those_of_the_one_test(finished):
    path, results = finished
    with RunStore.read(path) as run:
        known, classes = run.facts.class_results, run.facts.data["classes"]
        images = run.facts.data["test"]
    assert known.keys() == {result.candidate for result in results}
    for result in results:
        found = known[result.candidate]
        assert [own.name for own in found.classes] == classes
        assert sum(own.images for own in found.classes) == images
        assert 100 * sum(own.correct for own in found.classes) / images == pytest.approx(result.test)
        manifest = json.loads((path / result.directory / "emission.json").read_text())
        assert manifest["balanced_accuracy"] == found.balanced_accuracy
        assert (path / result.directory / "confused.jpg").exists() == bool(found.confusions)
        best = narsfast.Run(path).best(result.budget.replace("<=", "="))
        assert best.by_class == found


def test_the_method_was_followed(finished):
    path, _ = finished
    with RunStore.read(path) as run:
        space = Space.from_dict(run.config["space"])
        first, second = run.batches()
        stop = run.facts.early_stop_epoch
        assert (len(first.candidates), len(second.candidates)) == (4, 4)
        assert (first.epochs, second.epochs) == (3, stop)
        assert all(member.score is None for member in first.candidates)
        assert all(isinstance(member.score, float) for member in second.candidates)
        assert len({member.candidate for batch in (first, second) for member in batch.candidates}) == 8
        for member in first.candidates:
            assert space.encode(space.decode(np.array([member.genes], np.int16))).tolist() == [
                list(member.genes)
            ]
        assert [fit.trials for fit in run.facts.fits] == [4, 8]
        assert {len(trial.curve) for trial in run.trials("final")} == {4}
        assert run.state().stage == "done"


def test_a_finished_run_is_free(finished, monkeypatch):
    path, results = finished
    monkeypatch.setattr("narsfast.pipeline._trials.run_trials", None)
    monkeypatch.setattr("narsfast.pipeline._final_test.evaluate", None)
    assert pipeline.run(path) == results


def test_processes_give_the_same_table_though_one_is_killed(finished, tmp_path, options, monkeypatch, caplog):
    path, _ = finished
    begun, start = [], _processes._start

    def recording(environment):
        worker = start(environment)
        begun.append(worker[0])
        return worker

    def kill_first(stage, done, total):
        if stage.startswith("optimize") and done > 0 and begun[0].poll() is None:
            begun[0].kill()

    monkeypatch.setattr(_processes, "_start", recording)
    pipeline.run(tmp_path / "run", options, workers=2, progress=kill_first)
    assert len(begun) > 2
    assert "was killed (signal 9)" in caplog.text
    assert table(tmp_path / "run") == table(path)


KILLED = """
import os, signal, sys, threading
from dataclasses import replace
from narsfast import pipeline
from narsfast.predictor import _fitting, _pretraining
from narsfast.runs import RunStore

_pretraining.SCHEDULE = replace(_pretraining.SCHEDULE, steps={steps[0]})
_fitting.FROZEN = replace(_fitting.FROZEN, steps={steps[1]})
_fitting.UNFROZEN = replace(_fitting.UNFROZEN, steps={steps[2]})
add_trial = RunStore.add_trial

def add_and_die(store, trial, purpose):
    add_trial(store, trial, purpose)
    if purpose == {purpose!r} and len(store.trials(purpose)) == {count}:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGKILL)).start()

RunStore.add_trial = add_and_die
pipeline.run({path!r}, {options!r}, workers=1)
"""


def _run_and_kill(path, options, purpose, count):
    """Run in a process of its own, which kills itself with -9 in the training after so many trials."""
    steps = [part.steps for part in (_pretraining.SCHEDULE, _fitting.FROZEN, _fitting.UNFROZEN)]
    code = KILLED.format(path=str(path), options=options, purpose=purpose, count=count, steps=steps)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=path.parent, check=False)
    assert done.returncode == -signal.SIGKILL
    with RunStore.read(path) as run:
        return len(run.trials(purpose))


def test_killed_twice_it_gives_the_same_table(finished, tmp_path, options):
    path, _ = finished
    killed = tmp_path / "run"
    assert 2 <= _run_and_kill(killed, options, "search", 2) < 8
    assert _run_and_kill(killed, options, "final", 1) == 1  # the other final training was under way
    with RunStore.read(killed) as run:
        assert run.results() == []
    pipeline.run(killed)
    assert table(killed) == table(path)


def test_every_ingredient_of_a_recipe_can_be_searched(tmp_path, options):
    options = {**options, "recipe_space": "extended", "epochs": 2, "final_epochs": 2}
    results = pipeline.run(tmp_path, options, workers=1)
    assert len(results) == 2
    with RunStore.read(tmp_path) as run:
        trials = run.trials("search")
        recipes = [member.recipe for batch in run.batches() for member in batch.candidates]
    assert {trial.outcome for trial in trials} <= {"ok", "diverged"}
    assert len({recipe["optimizer"] for recipe in recipes}) > 1
    assert len({recipe["augmentation"] for recipe in recipes}) > 2
    assert len({recipe["train_resolution"] for recipe in recipes}) > 1
    assert "<td>optim_backend</td><td>native</td>" in (tmp_path / "report.html").read_text()
    for result in results:
        folder = tmp_path / result.directory
        optimizer = json.loads((folder / "recipe.json").read_text())["optimizer"]
        step = "native" if optimizer == "rmsprop" else "torch"
        assert json.loads((folder / "emission.json").read_text())["optim_backend"] == step
        assert f"(the optimizer's step by {step})" in (folder / "README.md").read_text()


def test_another_configuration_is_refused(finished):
    path, _ = finished
    with pytest.raises(UserError, match=r"seed \(stored 5, given 6\)"):
        pipeline.open_search(path, {"seed": 6})
    pipeline.open_search(path, {"seed": 5, "trials_per_batch": 4}).close()


def test_the_found_are_tested_on_the_test_split_once_each(finished, tmp_path, monkeypatch):
    path, results = finished
    copy = tmp_path / "run"
    subprocess.run(["cp", "-r", path, copy], check=True)
    seen = []

    def recording(network, split, *rest):
        seen.append(split)
        return evaluate(network, split, *rest)

    evaluate = _final_test.evaluate
    monkeypatch.setattr("narsfast.pipeline._final_test.evaluate", recording)
    with pipeline.open_search(copy, workers=1) as search:
        monkeypatch.setattr(search.store, "results", list)
        assert pipeline.emit(search) == results
        assert len(seen) == len(results)
        assert all(split is search.data.test for split in seen)


def test_other_data_under_the_same_name_is_refused(finished, tmp_path):
    path, _ = finished
    copy = tmp_path / "run"
    subprocess.run(["cp", "-r", path, copy], check=True)
    with pipeline.open_search(copy) as search:
        search.store.facts.content = None  # as in runs of earlier versions
        search.store.facts.data = {**search.store.facts.data, "train": 7}
        with pytest.raises(
            UserError, match=r"has changed since the run was started: train .*7.*320.*; restore it"
        ):
            pipeline.evolve(search, ["macs=300K"])


def test_another_environment_is_refused_until_the_run_is_done(finished, tmp_path):
    path, _ = finished
    copy = tmp_path / "run"
    subprocess.run(["cp", "-r", path, copy], check=True)
    with RunStore.open(copy, None) as run:
        run.facts.versions = {**run.facts.versions, "torch": "1.0"}
    pipeline.open_search(copy).close()
    with RunStore.open(copy, None) as run:
        run.facts.stage = "train"
    with pytest.raises(UserError, match=r"torch .*1\.0"):
        pipeline.open_search(copy)
    with RunStore.open(copy, None) as run:
        run.facts.stage = "done"
    with pytest.raises(UserError, match=r"torch .*1\.0"):
        pipeline.open_search(copy, {"baselines": ["torchvision:mobilenet_v3_small"]})
    RunStore.open(copy, None).close()  # the refusal let go of it


def test_the_loader_of_a_run_stays(finished, tmp_path, monkeypatch):
    """`auto` is resolved when the run is created, and handed to the trainings; what would be another one is refused."""
    path, _ = finished
    copy = tmp_path / "run"
    subprocess.run(["cp", "-r", path, copy], check=True)
    with pipeline.open_search(copy) as search:
        assert search.config.loader == "auto"
        candidate = search.space.decode(np.array([search.store.batches()[0].candidates[0].genes], np.int16))[
            0
        ]
        assert search.task(candidate, 1, 1, "search").settings.loader == "torchvision"
        search.store.facts.stage = "train"
    for module in ("narsfast.pipeline._environment", "narsfast.training._settings"):
        monkeypatch.setattr(f"{module}.resolve_loader", lambda *_, **__: "dali")
    monkeypatch.setattr("narsfast.pipeline._environment.loader_version", lambda _: "2.4.0")
    with pytest.raises(UserError, match=r"loader .*torchvision.*dali"):
        pipeline.open_search(copy)


def test_a_budget_outside_the_pool_is_refused_before_any_training(finished, tmp_path, options):
    new = tmp_path / "run"
    with pytest.raises(
        UserError,
        match=r"budget macs<=1K: no candidate of small that was sampled keeps it .they have macs 38,784 to 522,368",
    ):
        pipeline.run(new, {**options, "budgets": ["macs=1K"]}, workers=1)
    with RunStore.read(new) as run:
        assert run.batches() == []
    with pipeline.open_search(new, options) as search:
        assert search.config.budgets == ("macs=200K", "macs=400K")
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", finished[0], copy], check=True)
    with pipeline.open_search(copy) as search, pytest.raises(UserError, match="no member of the pool"):
        pipeline.evolve(search, ["macs=1K"])


def test_before_any_training_only_the_last_options_count(tmp_path, caplog, options):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty.* has no class folders"):
        pipeline.run(tmp_path / "run", {**options, "space": "mobile", "data": str(tmp_path / "empty")})
    with pipeline.open_search(tmp_path / "run", options) as search:
        assert search.config == resolve_config(options)
    assert "it starts over, with the options given now alone" in caplog.text


def test_a_wrong_question_is_refused_before_the_search_that_it_needs(tmp_path, monkeypatch, options):
    monkeypatch.setattr("narsfast.pipeline._stages.optimize", lambda search: pytest.fail("was optimized"))
    with pipeline.open_search(tmp_path / "run", options) as search:
        with pytest.raises(UserError, match="budget"):
            pipeline.evolve(search, ["foo"])
        with pytest.raises(UserError, match="statistic 'nope' is not counted here; counted are macs"):
            pipeline.pareto(search, ["nope"])
        search.config = search.config.model_copy(update={"model": "FBNetV3_A"})
        with pytest.raises(UserError, match="there is no front of it to show"):
            pipeline.pareto(search, ["macs"])


def test_going_on_needs_a_run(tmp_path):
    with pytest.raises(UserError, match="is no run directory"):
        pipeline.open_search(tmp_path / "none")


def lose(path):
    """Damage the files of both predictors of a run: one is cut short, one is gone."""
    weights = path / "pretrained" / "predictor.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    subprocess.run(["rm", "-r", path / "predictor"], check=True)


def test_lost_predictors_are_computed_again_from_the_database(finished, tmp_path, monkeypatch, caplog):
    path, _ = finished
    copy = tmp_path / "run"
    subprocess.run(["cp", "-r", path, copy], check=True)
    whole = [(path / name / "predictor.safetensors").read_bytes() for name in ("pretrained", "predictor")]
    lose(copy)
    monkeypatch.setattr("narsfast.pipeline._trials.run_trials", lambda *_, **__: pytest.fail("was trained"))
    with pipeline.open_search(copy, workers=1) as search:
        predictor = pipeline.optimize(search)
        assert search.store.facts.stage == "done"
        assert pipeline.evolve(search) == list(search.store.facts.families)
    assert caplog.text.count("it is computed again from the run's database") == 2
    again = [(copy / name / "predictor.safetensors").read_bytes() for name in ("pretrained", "predictor")]
    assert again == whole
    genes = predictor.space.random(50, seed=1)
    with pipeline.open_search(path, workers=1) as search:
        np.testing.assert_array_equal(predictor.scores(genes), pipeline.optimize(search).scores(genes))
    assert table(copy) == table(path)


def test_a_failed_trial_of_the_search_is_tried_again_when_asked_for(finished, tmp_path):
    """As an early version left it: a trial was lost, and what came after it had another way."""
    path, _ = finished
    copy = tmp_path / "run"
    subprocess.run(["cp", "-r", path, copy], check=True)
    with RunStore.open(copy, None) as run:
        lost = run.batches()[0].candidates[1].candidate
        other = run.batches()[1].candidates[0].candidate
        with run._writing() as execute:
            execute(
                "UPDATE trials SET outcome = 'lost', curve = '[]' WHERE candidate = ? AND purpose = 'search'",
                (lost,),
            )
            execute("DELETE FROM members WHERE candidate = ?", (other,))  # was not picked on that way
    pipeline.run(copy, workers=1, resume=pipeline.Resume(retry_failed=True))
    assert table(copy) == table(path)


def test_a_further_budget_costs_one_training(finished, tmp_path):
    path, results = finished
    copy = tmp_path / "run"
    subprocess.run(["cp", "-r", path, copy], check=True)
    with pipeline.open_search(copy, workers=1) as search:
        before = len(search.store.trials("search"))
        families = pipeline.evolve(search, ["macs=150K"])
        assert families[-1].label == "macs<=150K"
        assert families[-1].candidates[0].statistics["macs"] <= 150_000
        more = pipeline.emit(search)
        assert len(search.store.trials("search")) == before
    assert more[:2] == results
    assert more[2].budget == "macs<=150K"


def test_the_front_is_inside_the_pool_and_between_its_bounds(finished):
    path, _ = finished
    with pipeline.open_search(path, workers=1) as search:
        whole = pipeline.pareto(search, ["macs"])
        part = pipeline.pareto(search, ["macs", "params"], "150K:300K")
        predictor = judge_of(search, pipeline.optimize(search))
        genes = search.space.encode([row.candidate for row in whole])
    mean, std = predictor.predict(genes)
    assert np.allclose([row.std for row in whole], std)
    assert np.allclose([row.predicted for row in whole], np.clip(mean, 0, 100))
    macs = [row.statistics["macs"] for row in whole]
    assert macs == sorted(macs)
    assert min(macs) >= 100_000
    assert (np.diff(mean) > 0).all()
    assert part
    assert all(150_000 <= row.statistics["macs"] <= 300_000 for row in part)


@pytest.mark.parametrize(
    ("between", "said"),
    [
        ("1:2", r"between '1:2': no member of the pool keeps it \(the pool has macs [\d,]+ to [\d,]+\)"),
        ("macs=1:2", "between 'macs=1:2': no member of the pool keeps it"),
        ("latency=1:2", "between 'macs=latency=1:2': the bound 'latency=1' should be a number"),
        ("2:1", "between 'macs=2:1' is empty"),
    ],
)
def test_wrong_bounds_of_a_front_are_refused_by_their_own_name(finished, between, said):
    with (
        pipeline.open_search(finished[0], workers=1) as search,
        pytest.raises(UserError, match=said) as error,
    ):
        pipeline.pareto(search, ["macs"], between)
    assert "budget" not in str(error.value)


def test_evolution_stays_above_the_lower_bounds_of_the_pool(finished, tmp_path, monkeypatch):
    path, _ = finished
    copy = tmp_path / "run"
    subprocess.run(["cp", "-r", path, copy], check=True)
    asked = []
    evolve = _stages.evolve_candidates

    def recording(predictor, counter, budgets, *rest, **options):
        asked.extend(dict(budget.bounds) for budget in budgets)
        return evolve(predictor, counter, budgets, *rest, **options)

    monkeypatch.setattr("narsfast.pipeline._stages.evolve_candidates", recording)
    with pipeline.open_search(copy, workers=1) as search:
        families = pipeline.evolve(search, ["macs=150K", "params=1M"])
    assert asked[0] == {"macs": (120_000, 150_000)}
    assert asked[1]["macs"][0] == 120_000
    assert asked[1]["params"] == (0, 1_000_000)
    for family in families[-2:]:
        assert all(candidate.statistics["macs"] >= 120_000 for candidate in family.candidates)


def test_a_final_training_that_ends_badly_gives_way_to_the_next(finished, tmp_path, monkeypatch):
    path, _ = finished
    copy = tmp_path / "run"
    subprocess.run(["cp", "-r", path, copy], check=True)
    monkeypatch.setattr(
        "narsfast.pipeline._trials.run_trials", lambda *a, **k: pytest.fail("nothing is left to train")
    )
    with pipeline.open_search(copy, workers=1) as search:
        families = pipeline.evolve(search)
        first, second = (found.id for found in families[0].candidates[:2])
        known = search.store.trials("final")[0]
        good = Trial(known.candidate, (100.0,), "ok", known.epochs, 1.0)  # no trial was better

        def stored(purpose):
            others = [replace(good, candidate=c.id) for f in families for c in f.candidates]
            bad = {"outcome": "diverged", "curve": (), "metrics": EpochMetrics()}
            return [replace(t, **bad) if t.candidate == first else t for t in others]

        monkeypatch.setattr(search.store, "trials", stored)
        assert pipeline.train(search)[families[0].budget].candidate == second
        monkeypatch.setattr(
            search.store,
            "trials",
            lambda purpose: [
                Trial(c.id, (), "diverged", 4, 0.0, "the loss is not finite")
                for f in families
                for c in f.candidates
            ],
        )
        count = len(families[0].candidates)
        with pytest.raises(
            UserError, match=rf"none of its {count} final trainings .* diverged \(the loss is not finite\)"
        ):
            pipeline.train(search)


def test_a_batch_that_fails_whole_is_the_users_to_know(tmp_path, monkeypatch, options):
    def fail(executor, function, tasks, **_):
        return iter(
            [Trial(task.candidate, (), "failed", task.epochs, 0.0, "no such thing") for task in tasks]
        )

    monkeypatch.setattr("narsfast.pipeline._trials.run_trials", fail)
    with pytest.raises(
        UserError,
        match=r"batch 1 ended well, the first failed \(no such thing\): mend that and resume the run with",
    ):
        pipeline.run(tmp_path / "run", options, workers=1)


@pytest.mark.parametrize("part", ["architecture", "recipe"])
def test_one_part_alone(tmp_path, part, options):
    """Architecture-only and recipe-only: the other part is fixed, field by field."""
    space = load_space(SMALL)
    candidate = space.decode(space.sobol(1, seed=1))[0]
    fixed = candidate.recipe if part == "architecture" else candidate.architecture
    options = {**options, "fix": fixed, "budgets": ["macs=1M"], "pool_bounds": "macs=1K:1M"}
    options |= {"pool_size": 16, "trials_per_batch": 2, "epochs": 1, "final_epochs": 1}
    (result,) = pipeline.run(tmp_path / "run", options, workers=1)
    with RunStore.read(tmp_path / "run") as run:
        (family,) = run.facts.families
    other = "recipe" if part == "architecture" else "architecture"
    assert all(getattr(row, other) == fixed for row in family.candidates)
    assert result.candidate in {row.id for row in family.candidates}
