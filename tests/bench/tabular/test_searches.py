import numpy as np
import pytest

from bench.tabular import searches
from bench.tabular.dataset import load_table
from bench.tabular.predictors import NoStatistics
from bench.tabular.searches import NOT_NESTED, RIVALS, SEARCHES, only
from narsfast.predictor import pretrain


@pytest.fixture
def table(toy, monkeypatch):
    """The table, batches of 4 or 6, and a small predictor without pretraining, so that searches are fast."""
    monkeypatch.setattr(searches, "BATCH", 4)
    monkeypatch.setattr(searches, "LARGER_BATCH", 6)
    monkeypatch.setattr(searches, "POPULATION", 6)
    return load_table(toy)


def plain(table, seed):
    return pretrain(NoStatistics(table.space), table.genes, seed, members=1, encoder=(), head=())


@pytest.fixture(params=[name for name in SEARCHES if name != "no_pretraining"])
def search(request, monkeypatch):
    """Every search by name, those of ours with the small predictor."""
    monkeypatch.setitem(searches.narsfast_search.__kwdefaults__, "make", plain)
    if request.param == "tpe":
        pytest.importorskip("optuna")
    return SEARCHES[request.param]


def test_a_search_trains_different_rows_and_sees_one_seed(search, table):
    trained = search(table, 12, 1)
    assert len(set(trained.rows.tolist())) == len(trained.rows) == len(trained.labels)
    assert len(trained.rows) in (3, 12)  # there are three recipes
    shown = np.concatenate([table.curves, table.targets[:, 1:]], axis=1)
    assert (trained.labels[:, None] == shown[trained.rows]).any(axis=1).all()


def test_a_search_repeats(search, table):
    first, again, other = (search(table, 8, seed) for seed in (0, 0, 1))
    assert (first.rows == again.rows).all()
    assert len(first.rows) == 3 or (first.rows != other.rows).any()


def test_the_first_trainings_of_a_long_search_are_a_short_one(search, table, request):
    if request.node.callspec.params["search"] not in NOT_NESTED:
        long, short = search(table, 16, 0).rows, search(table, 8, 0).rows
        assert (long[: len(short)] == short).all()


def test_guided_searches_begin_with_the_same_batch(table):
    ours = searches.narsfast_search(table, 8, 3, make=plain)
    forest = searches.forest_search(table, 8, 3)
    assert (ours.rows[:4] == forest.rows[:4]).all()


def test_early_stopping_spends_less(table):
    spent = {
        early: searches.narsfast_search(table, 12, 3, make=plain, batch=6, early_stop=early).epochs
        for early in (True, False)
    }
    assert spent[True] < spent[False] == 1


@pytest.mark.parametrize(
    ("part", "fixed", "left"), [("architecture", {"rate": 0.2}, 16), ("recipe", {"depth": 2, "width": 16}, 3)]
)
def test_one_part_is_searched_with_the_other_in_the_middle(part, fixed, left, table, monkeypatch):
    asked = {}
    monkeypatch.setattr(searches, "narsfast_search", lambda *_, rows: asked.update(rows=rows))
    only(part, table, 8, 0)
    assert len(asked["rows"]) == left
    for candidate in table.space.decode(table.genes[asked["rows"]]):
        assert {**candidate.architecture, **candidate.recipe}.items() >= fixed.items()


def test_a_search_ends_where_there_are_no_more_candidates(table):
    trained = searches.narsfast_search(table, 8, 0, make=plain, rows=np.array([4, 7, 9]))
    assert sorted(trained.rows.tolist()) == [4, 7, 9]


@pytest.mark.parametrize("name", ["evolution", "tpe"])
def test_rivals_that_ask_again_come_to_an_end(name, table):
    if name == "tpe":
        pytest.importorskip("optuna")
    assert len(SEARCHES[name](table, 200, 0).rows) <= len(table)


def test_what_needs_a_grid_or_curves_does_not_apply(toy):
    lines = toy.with_suffix(".csv").read_text().splitlines()
    toy.with_suffix(".csv").write_text("\n".join(lines[:-1]))
    toy.write_text(toy.read_text().replace("curves: e{i}", ""))
    part_of_grid = load_table(toy)
    names = ("evolution", "tpe", "architecture_only", "recipe_only", "spearman", "no_early_stop")
    assert [SEARCHES[name](part_of_grid, 8, 0) for name in names] == [None] * len(names)


def test_rivals_do_not_change_with_ours():
    assert len({searches.version(name) for name in RIVALS}) == 1
    assert searches.version("narsfast") != searches.version("tpe")
