"""The prior is made from tables whose accuracies follow a known rule."""

import json
import sys

import numpy as np
import pytest

from bench.tabular import prior
from bench.tabular.photo_table import Outcome, PhotoTable, write_table
from bench.tabular.photos import candidates, counter_of, space_of

COUNT = 96


def write(folder, name, kind, seed, sign=1.0):
    """Write a table: larger networks are better, and so are averaged weights and little dropout."""
    space, counter, genes = space_of(name, kind), counter_of(name, kind), candidates(name, kind)[:COUNT]
    known = space.decode(genes)
    macs = np.log(counter(genes)[:, counter.names.index("macs")])
    recipe = np.array([sign * (one.recipe["ema"] - 4 * one.recipe["dropout"]) for one in known])
    share = 0.6 + 0.05 * (macs - macs.mean()) / macs.std() + 0.06 * recipe
    random = np.random.default_rng(seed)
    outcomes = [
        Outcome(random.random((1, 800)) < one, np.zeros((1, 800), np.uint8), np.ones(1), "ok", 1, 1.0)
        for one in share
    ]
    rows = [{"architecture": dict(one.architecture), "recipe": dict(one.recipe)} for one in known]
    table = PhotoTable(rows, np.arange(COUNT), np.zeros(COUNT, int), np.zeros((1, 800), np.int64), outcomes)
    write_table(folder / f"{name}-{kind}.npz", table)
    return prior.DataSet.read(folder / f"{name}-{kind}.npz")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


@pytest.fixture(scope="module")
def sets(folder):
    return [write(folder, name, "main", seed) for seed, name in enumerate(("digits", "signs"))]


def test_effects_and_slopes_are_those_of_the_rule(sets):
    found = prior.prior_of(sets)
    assert found.trainings == {"digits": COUNT, "signs": COUNT}
    assert found.slopes["macs"] > 0.1
    assert found.effects["ema"].of(True) > found.effects["ema"].of(False) + 0.3
    assert found.effects["dropout"].of(0.0) > found.effects["dropout"].of(0.3) + 0.3
    others = [
        max(one.effects) - min(one.effects)
        for name, one in found.effects.items()
        if name not in ("ema", "dropout")
    ]
    assert max(others) < found.effects["dropout"].of(0.0) - found.effects["dropout"].of(0.3)


def test_the_portfolio_begins_with_a_good_recipe_and_has_no_recipe_twice(sets):
    found = prior.prior_of(sets).portfolio
    assert len(found) == len({json.dumps(one, sort_keys=True) for one in found}) == prior.PORTFOLIO
    assert found[0]["ema"] is True
    assert found[0]["dropout"] <= 0.1


def test_what_others_say_helps_where_it_is_true(sets, tmp_path):
    known = prior.prior_of(sets[:1])
    rows = [row for draw in range(6) for row in prior.gains(sets[1], known, (12, 24), draw)]
    figures = prior.figures_of("scratch", rows)
    assert figures["scratch_prior_gain_12"] > 0.05
    assert figures["scratch_prior_gain_24"] > 0
    wrong = write(tmp_path, "signs", "main", 1, sign=-1.0)
    worse = [
        row["with"] - row["without"] for draw in range(6) for row in prior.gains(wrong, known, (24,), draw)
    ]
    assert np.mean(worse) > -0.15  # it is overruled


def test_numbers_and_others_become_columns(sets):
    recipes = prior.Recipes([one.space for one in sets])
    assert recipes.log("learning_rate")
    assert not recipes.log("mixup")
    columns = recipes.columns("mixup", [0.0, 0.4, None])
    np.testing.assert_allclose(columns, [[-1, 0.5], [1, 0.5], [0, 0]])
    np.testing.assert_allclose(recipes.columns("ema", [True, False]).sum(axis=1), [1, 1])


def test_the_command_writes_what_it_found(folder, sets, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(prior, "FILE", tmp_path / "priors.json")
    arguments = [
        "prior",
        "--quick",
        "--tables",
        str(folder),
        "--write",
        "--json",
        str(tmp_path / "found.json"),
    ]
    monkeypatch.setattr(sys, "argv", arguments)
    prior.main()
    written = json.loads((tmp_path / "priors.json").read_text())
    assert set(written) == {"scratch"}
    assert prior.Prior.from_dict(written["scratch"]) == prior.prior_of(sets)
    figures = json.loads((tmp_path / "found.json").read_text())["figures"]
    assert {"scratch_prior_gain_12", "scratch_prior_gain_12_error"} <= set(figures)
    monkeypatch.setattr(sys, "argv", ["prior", "--tables", str(tmp_path)])
    with pytest.raises(SystemExit, match="fewer than two tables"):
        prior.main()
