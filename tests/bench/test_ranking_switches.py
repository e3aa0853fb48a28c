"""Rankings that recipes switch, in tables whose accuracies follow a known rule."""

import json
import sys

import numpy as np
import pytest

from bench import ranking_switches
from bench.tabular.photo_table import Outcome, PhotoTable, write_table
from bench.tabular.photos import GRID, candidates, counter_of

ARCHITECTURES, RECIPES = GRID


def made(interaction, noise, seed=0):
    """Return accuracies of architectures and recipes that add up, but for so much."""
    random = np.random.default_rng(seed)
    found = random.normal(0, 1, (ARCHITECTURES, 1, 1)) + random.normal(0, 3, (1, RECIPES, 1))
    found = found + random.normal(0, interaction, (ARCHITECTURES, RECIPES, 1))
    return 70 + found + random.normal(0, noise, (ARCHITECTURES, RECIPES, 2))


def test_without_noise_only_what_does_not_add_up_switches():
    assert ranking_switches.shares(made(0, 0)) == (0, 0)
    by_recipe, by_seed = ranking_switches.shares(made(2, 0))
    assert by_seed == 0
    assert by_recipe > 0.2


def test_what_seeds_switch_is_taken_off():
    nothing = ranking_switches.figures_of([made(0, 1.5, seed) for seed in range(4)])
    assert nothing["ranking_switches_by_seed"] > 15
    assert abs(nothing["ranking_switches"]) < 3 * nothing["ranking_switches_error"]
    some = ranking_switches.figures_of([made(3, 1.5, seed) for seed in range(4)])
    assert some["ranking_switches"] > 2 * some["ranking_switches_error"] > 0


def test_missing_trainings_do_not_count():
    accuracies = made(0, 0)
    accuracies[2, 3, 0] = accuracies[4, 1, 1] = np.nan
    assert ranking_switches.shares(accuracies) == (0, 0)


def test_the_clearest_pair_is_found():
    accuracies = made(0, 0)
    accuracies[5, 2] = accuracies[1, 2] + 9
    accuracies[1, 4] = accuracies[5, 4] + 8
    found = ranking_switches.clearest(accuracies)
    assert {tuple(found["architectures"]), tuple(found["recipes"])} in ({(5, 1), (2, 4)}, {(1, 5), (2, 4)})
    assert found["first_by"] >= 8
    assert found["second_by"] >= 8


def test_a_grid_has_every_architecture_with_every_recipe():
    counter, genes = counter_of("digits", "grid"), candidates("digits", "grid")
    known = counter.space.decode(genes)
    assert len(known) == ARCHITECTURES * RECIPES
    architectures = [json.dumps(dict(one.architecture), sort_keys=True) for one in known]
    recipes = [json.dumps(dict(one.recipe), sort_keys=True) for one in known]
    assert len(set(architectures)) == ARCHITECTURES
    assert len(set(recipes)) == RECIPES
    assert recipes[:RECIPES] == recipes[RECIPES : 2 * RECIPES]
    macs = counter(genes)[:, counter.names.index("macs")]
    assert macs.max() / macs.min() < 1.2


def test_the_command_reads_grids(tmp_path, monkeypatch):
    space, genes = counter_of("digits", "grid").space, candidates("digits", "grid")
    random = np.random.default_rng(0)
    numbers, repeats = np.repeat(np.arange(len(genes)), 2), np.tile([0, 1], len(genes))
    outcomes = [
        Outcome(random.random((1, 200)) < 0.6, np.zeros((1, 200), np.uint8), np.ones(1), "ok", 1, 1.0)
        for _ in numbers
    ]
    known = [{"architecture": dict(c.architecture), "recipe": dict(c.recipe)} for c in space.decode(genes)]
    table = PhotoTable(known, numbers, repeats, np.zeros((2, 200), np.int64), outcomes)
    write_table(tmp_path / "digits-grid.npz", table)
    monkeypatch.setattr(sys, "argv", ["x", "--tables", str(tmp_path), "--json", str(tmp_path / "found.json")])
    ranking_switches.main()
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["rows"][0]["trainings"] == 2 * len(genes)
    assert abs(found["figures"]["ranking_switches"]) < 4 * found["figures"]["ranking_switches_error"]
    monkeypatch.setattr(sys, "argv", ["x", "--tables", str(tmp_path / "none")])
    with pytest.raises(SystemExit, match="no grids"):
        ranking_switches.main()
