import numpy as np
import pytest

from bench.tabular import searches
from bench.tabular.dataset import load_dataset
from bench.tabular.predictors import NoStatistics
from bench.tabular.searches import NOT_NESTED, RIVALS, SEARCHES, only
from narsfast.predictor import pretrain

pytestmark = pytest.mark.usefixtures("few_steps")


@pytest.fixture
def dataset(toy, monkeypatch):
    """Load the dataset and set batches of 4 or 6, so that searches are fast."""
    monkeypatch.setattr(searches, "BATCH", 4)
    monkeypatch.setattr(searches, "LARGER_BATCH", 6)
    monkeypatch.setattr(searches, "POPULATION", 6)
    return load_dataset(toy)


def plain(dataset, seed):
    return pretrain(NoStatistics(dataset.space), dataset.genes, seed, members=1, encoder=(), head=())


@pytest.fixture(params=[name for name in SEARCHES if name != "no_pretraining"])
def search(request, monkeypatch):
    """Return every search by name, ours with a small predictor that is not pretrained."""
    monkeypatch.setitem(searches.narsfast_search.__kwdefaults__, "make", plain)
    if request.param == "tpe":
        pytest.importorskip("optuna")
    return SEARCHES[request.param]


def test_search_trains_different_rows_and_sees_one_seed(search, dataset):
    trained = search(dataset, 12, 1)
    assert len(set(trained.rows.tolist())) == len(trained.rows) == len(trained.labels)
    assert len(trained.rows) in (3, 12)  # there are three recipes
    shown = np.concatenate([dataset.curves, dataset.targets[:, 1:]], axis=1)
    assert (trained.labels[:, None] == shown[trained.rows]).any(axis=1).all()


def test_search_is_deterministic(search, dataset):
    first, again, other = (search(dataset, 8, seed) for seed in (0, 0, 1))
    assert (first.rows == again.rows).all()
    assert len(first.rows) == 3 or (first.rows != other.rows).any()


def test_long_search_starts_as_a_short_one(search, dataset, request):
    if request.node.callspec.params["search"] not in NOT_NESTED:
        long, short = search(dataset, 16, 0).rows, search(dataset, 8, 0).rows
        assert (long[: len(short)] == short).all()


def test_guided_searches_start_with_the_same_batch(dataset):
    ours = searches.narsfast_search(dataset, 8, 3, make=plain)
    forest = searches.forest_search(dataset, 8, 3)
    assert (ours.rows[:4] == forest.rows[:4]).all()


def test_early_stopping_spends_fewer_epochs(dataset):
    spent = {
        early: searches.narsfast_search(dataset, 12, 3, make=plain, batch=6, early_stop=early).epochs
        for early in (True, False)
    }
    assert spent[True] < spent[False] == 1


@pytest.mark.parametrize(
    ("part", "fixed", "left"), [("architecture", {"rate": 0.2}, 16), ("recipe", {"depth": 2, "width": 16}, 3)]
)
def test_only_fixes_the_other_part_to_its_middle(part, fixed, left, dataset, monkeypatch):
    asked = {}
    monkeypatch.setattr(searches, "narsfast_search", lambda *_, rows: asked.update(rows=rows))
    only(part, dataset, 8, 0)
    assert len(asked["rows"]) == left
    for candidate in dataset.space.decode(dataset.genes[asked["rows"]]):
        assert {**candidate.architecture, **candidate.recipe}.items() >= fixed.items()


def test_search_ends_without_more_candidates(dataset):
    trained = searches.narsfast_search(dataset, 8, 0, make=plain, rows=np.array([4, 7, 9]))
    assert sorted(trained.rows.tolist()) == [4, 7, 9]


@pytest.mark.parametrize("name", ["evolution", "tpe"])
def test_rivals_that_repeat_proposals_end(name, dataset):
    if name == "tpe":
        pytest.importorskip("optuna")
    assert len(SEARCHES[name](dataset, 200, 0).rows) <= len(dataset)


def test_searches_that_need_grid_or_curves_do_not_apply(toy):
    lines = toy.with_suffix(".csv").read_text().splitlines()
    toy.with_suffix(".csv").write_text("\n".join(lines[:-1]))
    toy.write_text(toy.read_text().replace("curves: e{i}", ""))
    part_of_grid = load_dataset(toy)
    names = ("evolution", "tpe", "architecture_only", "recipe_only", "spearman", "no_early_stop")
    assert [SEARCHES[name](part_of_grid, 8, 0) for name in names] == [None] * len(names)


def test_rival_versions_do_not_depend_on_ours():
    assert len({searches.version(name) for name in RIVALS}) == 1
    assert searches.version("narsfast") != searches.version("tpe")
