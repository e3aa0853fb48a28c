"""Replays on a table whose accuracies are made of the multiply-adds."""

from importlib.util import find_spec

import numpy as np
import pytest

from bench import replay
from bench.tabular.photo_table import Outcome, PhotoTable, write_table
from bench.tabular.photos import candidates, counter_of, space_of
from bench.tabular.replays import POLICIES, dataset_of, drawn, regrets
from narsfast.cost import Budget

pytestmark = pytest.mark.usefixtures("always_few_steps")

THERE = [name for name in POLICIES if name != "tpe" or find_spec("optuna")]
BUDGETS = [Budget(macs=most) for most in (1e6, 2e6, 4e6)]


@pytest.fixture(scope="module")
def made():
    """Provide a table of 96 candidates, the larger the better, and another training of the first."""
    space, counter, genes = (
        space_of("digits", "main"),
        counter_of("digits", "main"),
        candidates("digits", "main")[:96],
    )
    macs = counter(genes)[:, counter.names.index("macs")]
    share = 0.3 + 0.5 * (np.log(macs) - np.log(macs).min()) / np.ptp(np.log(macs))
    random = np.random.default_rng(0)
    number = np.append(np.arange(96), 0)
    outcomes = [
        Outcome(
            (random.random((2, 800)) < share[one]), np.zeros((2, 800), np.uint8), np.ones(2), "ok", 2, 1.0
        )
        for one in number
    ]
    known = [{"architecture": dict(c.architecture), "recipe": dict(c.recipe)} for c in space.decode(genes)]
    table = PhotoTable(known, number, np.array([0] * 96 + [1]), np.zeros((2, 800), np.int64), outcomes)
    return table, dataset_of("digits-main", table, space, counter), genes, share


def test_candidates_are_those_of_the_table(made):
    _, dataset, genes, share = made
    np.testing.assert_array_equal(dataset.genes, genes)
    np.testing.assert_allclose(dataset.targets[:, 0], 100 * share, atol=8)


def test_labels_and_worth_come_from_different_photos(made):
    table, dataset, _, share = made
    one, again, other = (drawn(table, dataset, BUDGETS, 200, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.accuracy, again.accuracy)
    assert not np.array_equal(one.accuracy, other.accuracy)
    rest = table.accuracy()[:96, -1] * 800 - one.accuracy * 200
    np.testing.assert_allclose(one.worth, rest / 600)
    assert np.std(one.accuracy - 100 * share) > np.std(one.worth - 100 * share)


@pytest.mark.parametrize("policy", THERE)
def test_policies_name_finalists_inside_the_budgets(made, policy):
    table, dataset, _, _ = made
    one = drawn(table, dataset, BUDGETS, 200, 3)
    finalists = POLICIES[policy](one, 24)
    for rows, budget in zip(finalists, BUDGETS, strict=True):
        assert 1 <= len(rows) <= 4
        assert np.isin(rows, one.inside(budget)).all()
    assert 0 <= regrets(one, policy, 24) < 30


def test_regret_is_that_of_the_best_label_among_the_finalists(made):
    table, dataset, _, _ = made
    one = drawn(table, dataset, BUDGETS[:1], 200, 3)
    inside = one.inside(BUDGETS[0])
    best = inside[np.argmax(one.worth[inside])]
    assert one.regret([np.array([best])]) == [0.0]
    pair = inside[:2]
    taken = pair[np.argmax(one.accuracy[pair])]
    assert one.regret([pair]) == [pytest.approx(one.worth[best] - one.worth[taken])]


def test_rows_and_figures_of_a_table(made, tmp_path, monkeypatch):
    monkeypatch.setattr(replay, "POLICIES", {name: POLICIES[name] for name in THERE})
    write_table(tmp_path / "digits-main.npz", made[0])
    rows = replay.judge(tmp_path / "digits-main.npz", 200, (12, 24), (24,), 0)
    assert {row["predictor"] for row in rows if "tau" in row} == set(replay.RANKED)
    assert {row["policy"] for row in rows if "regret" in row} == set(THERE)
    (macs,) = [row["tau"] for row in rows if row.get("predictor") == "macs" and row["labels"] == 24]
    assert macs > 0.6
    figures = replay.figures_of(rows)
    taus = {row["predictor"]: row["tau"] for row in rows if row.get("labels") == 24}
    assert figures["replay_tau_24"] == taus["mixture"]
    assert figures["replay_tau_24_over_macs"] == pytest.approx(taus["mixture"] - taus["macs"])
    regret = {row["policy"]: row["regret"] for row in rows if row.get("trials") == 24}
    assert figures["replay_regret_24_vs_random"] == pytest.approx(regret["ours"] / regret["random"])
