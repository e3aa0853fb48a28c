"""One run from two parents of different structure, one of which takes part whole."""

import pickle

import numpy as np
import pytest

from narsfast import pipeline
from narsfast.arch import create_model, save_weights
from narsfast.cost import Counter
from narsfast.runs import RunStore
from narsfast.space import PARENT, Space
from narsfast.training import run_trial

pytestmark = pytest.mark.usefixtures("always_few_steps")

BUDGETS = ["macs=600K", "macs=2M"]
FIXED = {"resolution": 32, "optimizer": "sgd", "epochs_share": 1.0, "batch_size": 32, "frozen": 0.0}


@pytest.fixture(scope="module")
def options(tmp_path_factory, few_images, smallest, parent):
    file = tmp_path_factory.mktemp("whole") / "whole.safetensors"
    save_weights(create_model("torchvision:shufflenet_v2_x0_5", 7, 3), file)
    given = {name: value for name, value in smallest.items() if name != "space"}
    return given | {
        "parents": [parent, f"torchvision:shufflenet_v2_x0_5={file}"],
        "fix": FIXED,
        "budgets": BUDGETS,
        "final_epochs": 1,
        "trials_per_batch": 3,
        "finalists": 1,
        "explore": False,
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory, options, recorded):
    path = tmp_path_factory.mktemp("runs") / "run"
    with recorded() as tasks:
        results = pipeline.run(path, options, workers=1)
    return path, results, tasks


def table(path):
    """Return all that a run found out, but for times."""
    with RunStore.read(path) as run:
        trials = [
            (purpose, trial.candidate, trial.curve, trial.outcome, trial.epochs)
            for purpose in ("search", "final")
            for trial in run.trials(purpose)
        ]
        families = [family.to_dict() for family in run.facts.families]
        return sorted(trials), families, run.results()


def test_both_parents_are_trained_and_budgets_are_kept(finished):
    path, results, _ = finished
    with RunStore.read(path) as run:
        space = Space.from_dict(run.config["space"])
        trained = {picked.architecture[PARENT] for batch in run.batches() for picked in batch.candidates}
        families = run.facts.families
    assert trained == {"small", "shufflenet_v2_x0_5"}
    assert len(results) == len(BUDGETS)
    for family, most in zip(families, (600e3, 2e6), strict=True):
        genes = space.encode([found.candidate for found in family.candidates])
        assert (Counter(space, 1, 10)(genes)[:, 0] <= most).all()
    assert {found.architecture[PARENT] for found in families[0].candidates} == {
        "small"
    }  # the other costs more


def test_the_pool_has_both(options, tmp_path):
    with pipeline.open_search(tmp_path / "run", options, workers=1) as search:
        pool, column = search.pool, search.space.column(PARENT)
    assert np.bincount(pool.genes[:, column]).min() >= 5
    whole = pool.statistics[pool.genes[:, column] == 1]
    assert (whole == whole[0]).all()
    assert len(np.unique(pool.statistics[:, 0])) > 20


def test_a_stopped_run_goes_on_to_the_same(finished, options, tmp_path, monkeypatch):
    """The second run has the same seed, so that it also shows that nothing but the seed decides."""
    run_trials, left = pipeline._trials.run_trials, [4]  # two parents are tuned

    def stopping(*arguments, **settings):
        for trial in run_trials(*arguments, **settings):
            yield trial
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt

    monkeypatch.setattr("narsfast.pipeline._trials.run_trials", stopping)
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(tmp_path / "run", options, workers=1)
    monkeypatch.setattr("narsfast.pipeline._trials.run_trials", run_trials)
    with RunStore.read(tmp_path / "run") as run:
        assert 0 < len(run.trials("search")) < 3
    pipeline.run(tmp_path / "run", workers=1)
    assert table(tmp_path / "run") == table(finished[0])


def test_workers_are_sent_all_that_they_need(finished):
    """What another process gets is the pickled task, and it trains the same."""
    path, _, tasks = finished
    with RunStore.read(path) as run:
        curves = {trial.candidate: trial.curve for trial in run.trials("search")}
    searched = [task for task in tasks if not task.keep_weights]
    by_source = {isinstance(task.network.source, str): task for task in searched}
    assert len(by_source) == 2
    for task in by_source.values():
        again = pickle.loads(pickle.dumps(task))
        assert again == task
        assert run_trial(again).curve == curves[task.candidate]


def test_budgets_in_milliseconds_hold_for_both(options, tmp_path, monkeypatch):
    """The clock counts parameters; whole networks take ten times as long."""

    def milliseconds(module, image):
        whole = hasattr(module, "conv5")
        return 1e-3 * sum(parameter.numel() for parameter in module.parameters()) * (10 if whole else 1)

    monkeypatch.setattr("narsfast.cost._measure._milliseconds", milliseconds)
    table = pipeline.measure_latency({name: options[name] for name in ("data", "parents", "fix")})
    table.write(tmp_path / "latency.json")
    given = options | {"latency": str(tmp_path / "latency.json")}
    given["budgets"] = ["latency=12ms", "latency=5000ms"]
    with pipeline.open_search(tmp_path / "run", given, workers=1) as search:
        pipeline.pretrain(search)
        pool, names = search.pool, search.counter.names
        assert "latency" in search.store.facts.predictor_pretraining
        own = search.space.values(PARENT)
        anchored = search.space.decode(pool.genes[: pool.anchors])
    latency = pool.statistics[:, names.index("latency")]
    params = pool.statistics[:, names.index("params")]
    whole = np.array([own[gene] == "shufflenet_v2_x0_5" for gene in pool.genes[:, 0]])
    np.testing.assert_allclose(latency[whole], 1e-2 * params[whole], rtol=1e-9)
    np.testing.assert_allclose(latency[~whole], 1e-3 * params[~whole], rtol=1e-9)
    assert latency[: pool.anchors].min() <= 12
    assert {candidate.architecture[PARENT] for candidate in anchored} == set(own)
