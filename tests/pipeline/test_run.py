"""A run as Python users see it: the whole search as one call, what it found, ask and tell."""

import inspect
import json
from dataclasses import fields

import numpy as np
import pytest
import torch

import narsfast as nf
from narsfast.common.options import RUN_OPTIONS
from narsfast.errors import MachineError
from narsfast.pipeline._run_options import RunOptions
from narsfast.runs import InProcess, RunStore

pytestmark = pytest.mark.usefixtures("always_few_steps")

SETTINGS = {
    "pool_size": 64,
    "trials_per_batch": 3,
    "finalists": 1,
    "iterations": 2,
    "epochs": 2,
    "final_epochs": 1,
    "ensemble_members": 1,
    "seed": 5,
}


@pytest.fixture(scope="module")
def space(smallest):
    return nf.load_space(smallest["space"])


def worth(candidate):
    """Return what the trainer of these tests finds a candidate to reach, percent."""
    return 40 + candidate.architecture["stage2.channels"] / 8 + 1000 * candidate.recipe["learning_rate"]


class Trainer:
    """An own trainer: counts what it is asked for."""

    def __init__(self):
        self.asked = []

    def __call__(self, candidates, epochs):
        for candidate in reversed(candidates):
            self.asked.append(candidate.id)
            curve = tuple(worth(candidate) - 5 / (epoch + 1) for epoch in range(epochs))
            yield nf.Trial(candidate.id, curve, "ok", epochs, 0.1)


@pytest.fixture(scope="module")
def searched(tmp_path_factory, space):
    """Run a search by an own trainer with an own statistic; the trainer knows what it was asked for."""
    trainer = Trainer()
    run = nf.search(
        tmp_path_factory.mktemp("runs") / "own",
        data="digits",
        space=space,
        budgets=[nf.Budget(macs=200e3), "width=40"],
        evaluate=trainer,
        statistics={"width": width},
        **SETTINGS,
    )
    return run, trainer


def width(candidates):
    return [
        candidate.architecture["stage1.channels"] + candidate.architecture["stage2.channels"]
        for candidate in candidates
    ]


def test_options_are_those_of_the_command_line():
    """Every option of `narsfast run` is a keyword, by its name and with its default, and is documented."""
    parameters = inspect.signature(nf.search).parameters
    own = {"out", "evaluate", "executor", "statistics", "progress", "retry_failed", "accept_environment"}
    assert set(parameters) - own == set(RUN_OPTIONS)
    for name in RunOptions.__annotations__:
        assert parameters[name].default == RUN_OPTIONS[name].default
        assert f"{name}: {RUN_OPTIONS[name].description}" in nf.pipeline.search.__doc__


def test_own_trainings_fill_the_run(searched):
    run, trainer = searched
    assert len(trainer.asked) == len(set(trainer.asked)) == 6
    rows = run.trials()
    assert {row.candidate for row in rows} == set(trainer.asked)
    assert [row.batch for row in rows] == [0, 0, 0, 1, 1, 1]
    assert all(row.score is None for row in rows[:3])
    assert all(isinstance(row.score, float) for row in rows[3:])
    first = rows[0]
    assert first.outcome == "ok"
    assert first.statistics["width"] == width([first])[0]
    assert first.label == pytest.approx(first.curve[run.state.early_stop_epoch - 1])


def test_own_statistics_bound_and_are_reported(searched):
    run, _ = searched
    small = run.best("width=40")
    assert small.statistics["width"] <= 40
    assert run.best(nf.Budget(macs=200e3)).statistics["macs"] <= 200_000
    assert run.results == []  # full trainings are the user's, too
    assert (small.validation, small.test, small.directory) == (None, None, None)
    with pytest.raises(nf.UserError, match="not emitted yet"):
        small.load()


def test_best_builds_and_trains_elsewhere(searched):
    run, _ = searched
    best = run.best("macs=200K")
    network = nf.create_model(best.architecture, num_classes=10, in_chans=1)
    side = best.architecture.resolution
    assert network.eval()(torch.zeros(2, 1, side, side)).shape == (2, 10)
    assert isinstance(best.recipe, nf.Recipe)
    assert best.recipe.learning_rate == best.candidate.recipe["learning_rate"]


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ("macs=1M", "none of the run's; they are macs=200K, width=40"),
        (None, "budget is missing; the run has"),
    ],
)
def test_unknown_budget_is_refused(searched, budget, message):
    with pytest.raises(nf.UserError, match=message):
        searched[0].best(budget)


def test_predictor_takes_candidates(searched):
    run, _ = searched
    candidates = run.space.decode(run.space.sobol(5, seed=1))
    mean, std = run.predict(candidates)
    expected = run.predictor.predict(run.space.encode(candidates))
    assert np.array_equal(mean, expected[0])
    assert np.array_equal(std, expected[1])


def test_frame_has_a_column_per_field(searched):
    pandas = pytest.importorskip("pandas")
    frame = searched[0].trials_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert {"label", "architecture.resolution", "recipe.learning_rate", "statistics.macs"} <= set(
        frame.columns
    )
    assert len(frame) == 6


def test_frame_without_pandas_says_so(searched, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(nf.UserError, match="trials_frame needs pandas"):
        searched[0].trials_frame()


def test_notebooks_show_a_run(searched):
    run, _ = searched
    assert "stage train" in repr(run)
    assert "<table>" in run._repr_html_()


def test_own_statistics_are_needed_to_resume(searched):
    run, trainer = searched
    with pytest.raises(nf.UserError, match="counts width by functions of its maker; give them again"):
        nf.open_search(run.path)
    asked = len(trainer.asked)
    again = nf.search(run.path, evaluate=trainer, statistics={"width": width})
    assert len(trainer.asked) == asked
    assert again.families == run.families


def test_interrupted_own_trainings_are_not_asked_again(tmp_path, space, searched):
    """The run ends as the one without interruption."""

    class Interrupted(Trainer):
        def __call__(self, candidates, epochs):
            for count, trial in enumerate(super().__call__(candidates, epochs)):
                if count == 2:
                    raise KeyboardInterrupt
                yield trial

    options = {
        "space": space,
        "budgets": ["macs=200K", "width=40"],
        "statistics": {"width": width},
        **SETTINGS,
    }
    first, second = Interrupted(), Trainer()
    with pytest.raises(KeyboardInterrupt):
        nf.search(tmp_path / "run", evaluate=first, **options)
    run = nf.search(tmp_path / "run", evaluate=second, **options)
    assert not set(first.asked[:2]) & set(second.asked)
    assert run.families == searched[0].families


@pytest.mark.parametrize(
    ("trials", "message"),
    [
        (
            lambda c, e: [nf.Trial("x", (1.0,) * e, "ok", e, 0.0)],
            "evaluate gave Trial.*one narsfast.Trial per",
        ),
        (lambda c, e: [1.0 for _ in c], "evaluate gave 1.0"),
        (lambda c, e: [], "evaluate gave no trial of"),
        (lambda c, e: [nf.Trial(x.id, (), "failed", e, 0.0, "why") for x in c], r"the first failed \(why\)"),
    ],
)
def test_wrong_answers_of_an_own_trainer_are_refused(tmp_path, space, trials, message):
    with pytest.raises(nf.UserError, match=message):
        nf.search(tmp_path / "run", space=space, budgets=["macs=200K"], evaluate=trials, **SETTINGS)


def test_what_an_own_trainer_lost_is_asked_for_again(tmp_path, space, caplog):
    """And is nowhere stored as lost; a trainer that loses it again and again stops the run."""
    options = {"space": space, "budgets": ["macs=200K"], **SETTINGS}
    asked, trainer = [], Trainer()

    def losing(candidates, epochs):
        asked.append([candidate.id for candidate in candidates])
        for number, trial in enumerate(trainer(candidates, epochs)):
            lost = len(asked) == 1 and number == 1
            yield nf.Trial(trial.candidate, (), "lost", epochs, 0.0, "the node is gone") if lost else trial

    run = nf.search(tmp_path / "run", evaluate=losing, **options)
    again = nf.search(tmp_path / "undisturbed", evaluate=trainer, **options)
    assert [row.curve for row in run.trials()] == [row.curve for row in again.trials()]
    assert run.families == again.families
    assert len(asked[1]) == 1
    assert "(the node is gone); it is asked for again in 0 s" in caplog.text

    def lost(candidates, epochs):
        return [nf.Trial(candidate.id, (), "lost", epochs, 0.0, "no node") for candidate in candidates]

    with pytest.raises(MachineError, match=r"evaluate lost the training of candidate .* \(no node\)"):
        nf.search(tmp_path / "lost", evaluate=lost, **options)
    with RunStore.read(tmp_path / "lost") as store:
        assert store.trials("search") == []


def test_what_was_told_as_lost_is_asked_again(tmp_path, space):
    with nf.Run.create(tmp_path / "run", {"space": space, "budgets": ["macs=200K"], **SETTINGS}) as run:
        asked = run.ask(9)
        assert run.ask(1) == []
        run.tell(asked[0], [], outcome="lost", message="the node is gone")
        assert [candidate.id for candidate in run.ask(9)] == [asked[0].id]
        run.tell(asked[0], [50.0, 60.0])
        assert [row.outcome for row in run.trials()] == ["ok"]


def test_ask_and_tell_give_the_run_of_an_own_trainer(tmp_path, space, searched):
    own = nf.pipeline.Own(statistics={"width": width})
    options = {"space": space, "budgets": ["macs=200K", "width=40"], **SETTINGS}
    with nf.Run.create(tmp_path / "run", options, own=own) as run:
        first = run.ask(2)
        assert len(first) == 2
        assert [candidate.epochs for candidate in first] == [2, 2]
        (third,) = run.ask(5)
        assert run.ask(1) == []  # the rest of the batch is being trained
        assert not run.finished
        with pytest.raises(nf.UserError, match=r"metrics of candidate .*: cross_entropy has 1 epochs"):
            run.tell(third, [50.0, 60.0], metrics=nf.EpochMetrics(cross_entropy=(1.0,)))
        metrics = nf.EpochMetrics(training_loss=(2.0, 1.0))
        for candidate in (third, *first):
            run.tell(candidate, [worth(candidate) - 5, worth(candidate) - 2.5], seconds=0.1, metrics=metrics)
        assert {row.metrics for row in run.trials()} == {metrics}
        while not run.finished:
            (candidate,) = run.ask()
            curve = [worth(candidate) - 5 / (epoch + 1) for epoch in range(candidate.epochs)]
            run.tell(candidate.id, curve, seconds=0.1)
        assert run.ask(1) == []
    assert [row.candidate for row in run.trials()] == [row.candidate for row in searched[0].trials()]
    assert [row.curve for row in run.trials()] == [row.curve for row in searched[0].trials()]
    with nf.open_search(run.path, own=own) as search:
        assert tuple(nf.evolve(search)) == searched[0].families


def test_what_was_asked_and_not_told_is_asked_again(tmp_path, space):
    options = {"space": space, "budgets": ["macs=200K"], **SETTINGS}
    with nf.Run.create(tmp_path / "run", options) as run:
        asked = run.ask(3)
        run.tell(asked[0], [50.0, 60.0])
    with nf.Run(tmp_path / "run") as run:
        assert {candidate.id for candidate in run.ask(9)} == {asked[1].id, asked[2].id}


@pytest.mark.parametrize(
    ("curve", "outcome", "message"),
    [
        ([50.0], "ok", "has 1 epochs; 2 were asked for"),
        ([50.0, 101.0], "ok", "percents from 0 to 100"),
    ],
)
def test_wrong_curves_are_refused(tmp_path, space, curve, outcome, message):
    with nf.Run.create(tmp_path / "run", {"space": space, "budgets": ["macs=200K"], **SETTINGS}) as run:
        (candidate,) = run.ask()
        with pytest.raises(nf.UserError, match=message):
            run.tell(candidate, curve, outcome=outcome)
        run.tell(candidate, [], outcome="failed", message="no disk")
        with pytest.raises(nf.UserError, match="is not waited for"):
            run.tell(candidate, [50.0, 60.0])
        with pytest.raises(nf.UserError, match="n is 0"):
            run.ask(0)


class Recording(InProcess):
    """An own executor: the one without processes, that counts."""

    def __init__(self):
        super().__init__()
        self.submitted, self.ended = 0, False

    def submit(self, function, *args, **options):
        self.submitted += 1
        return super().submit(function, *args, **options)

    def shutdown(self):
        self.ended = True
        super().shutdown()


def test_own_executor_runs_every_training_and_stays_open(tmp_path, smallest):
    executor = Recording()
    run = nf.search(tmp_path / "run", executor=executor, **{**smallest, "final_epochs": 1})
    trained = len(run.trials()) + len(run.trials("final"))
    assert executor.submitted == trained
    assert not executor.ended
    best = run.best(run.families[0].budget)
    assert best.test == run.results[0].test
    assert best.load().eval()(torch.zeros(1, 1, 16, 16)).shape == (1, 10)
    assert {field.name for field in fields(run.trials("final")[0])} >= {"architecture", "recipe"}


def labeled(count, seed):
    """Images of two classes that differ in brightness."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    return [((rng.random((20, 20, 3)) * 120 + 120 * label).astype(np.uint8), int(label)) for label in labels]


def test_data_from_memory_is_kept_in_the_run(tmp_path, smallest):
    """Other processes and a resumed run read it there."""
    data = {"train": labeled(64, 0), "val": labeled(20, 1), "test": labeled(20, 2)}
    options = {**smallest, "data": data, "final_epochs": 1}
    run = nf.search(tmp_path / "run", workers=2, **options)
    assert run.config.data == str((tmp_path / "run" / "data.safetensors").resolve())
    assert len(run.results) == 2
    assert nf.search(tmp_path / "run").results == run.results
    assert nf.search(tmp_path / "run", data=data).results == run.results
    with pytest.raises(nf.UserError, match=r"data: it is not what .* was created with"):
        nf.search(tmp_path / "run", data={**data, "train": labeled(32, 0)})
    best = run.best(run.families[0].budget)
    assert json.loads((best.directory / "preprocessing.json").read_text())["classes"] == ["0", "1"]
