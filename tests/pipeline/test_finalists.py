"""Who races for a budget."""

from types import SimpleNamespace

import numpy as np
import pytest

from narsfast.pipeline._finalists import best_anchor, choose_finalists

SPACE = SimpleNamespace(
    searches_architecture=True,
    architecture_fields=np.array([0]),
    fields=[None] * 2,
    keys=lambda genes: genes[:, 0].astype(np.uint64) * 100 + genes[:, 1].astype(np.uint64),
)


class Known:
    """A predictor that predicts 50 +- `std` of everything."""

    def __init__(self, std, space=SPACE):
        self.std, self.space = std, space

    def predict(self, genes):
        return np.full(len(genes), 50.0), np.full(len(genes), self.std)


def genes(*rows):
    return np.array(rows, np.int16).reshape(-1, 2)


NONE = genes()
TRAINED = genes([1, 0], [1, 1], [2, 0], [3, 0])
LABELS = np.array([60.0, 59.0, 58.0, 57.0])
FOUND = genes([2, 5], [4, 0], [4, 1], [5, 0], [6, 0])
SCORES = np.array([9.0, 8.0, 7.0, 5.0, 6.0])


def chosen(predictor=None, trained=TRAINED, labels=LABELS, found=FOUND, scores=SCORES, anchor=NONE, count=4):
    rows = choose_finalists(predictor or Known(5.0), trained, labels, 400, found, scores, anchor, count)
    return [(origin, *row.tolist()) for origin, row in rows]


def test_half_are_the_best_trials_and_half_were_found_of_different_architectures():
    assert chosen() == [("trial", 1, 0), ("trial", 2, 0), ("evolved", 4, 0), ("evolved", 6, 0)]


def test_where_no_trial_is_inside_all_were_found():
    assert chosen(trained=genes(), labels=np.empty(0), count=3) == [
        ("evolved", 2, 5),
        ("evolved", 4, 0),
        ("evolved", 6, 0),
    ]


def test_the_anchor_races_unless_it_does_already():
    assert chosen(anchor=genes([7, 7]))[-1] == ("anchor", 7, 7)
    assert len(chosen(anchor=genes([1, 0]))) == 4
    assert chosen(anchor=genes([1, 9]))[-1] == ("anchor", 1, 9)  # another recipe of the same architecture


def test_labels_count_by_how_little_is_known_otherwise():
    class Sure(Known):
        def predict(self, genes):
            return np.array([50.0, 50.0, 70.0, 50.0]), np.full(len(genes), self.std)

    assert chosen(Sure(0.1))[0] == ("trial", 2, 0)
    assert chosen(Sure(100.0))[0] == ("trial", 1, 0)


def test_recipes_alone_may_share_the_architecture():
    recipes = SimpleNamespace(**{**vars(SPACE), "searches_architecture": False})
    found = chosen(Known(5.0, recipes))
    assert found[:2] == [("trial", 1, 0), ("trial", 1, 1)]


@pytest.mark.parametrize(("labels", "row"), [([50.0, 55.0], [3, 1]), ([55.0, 50.0], [3, 0])])
def test_the_anchor_of_the_best_label_races(labels, row):
    known = genes([3, 0], [3, 1], [3, 2])
    assert best_anchor(SPACE, known, genes([3, 0], [3, 1]), np.array(labels)).tolist() == [row]
    assert best_anchor(SPACE, known, genes(), np.empty(0)).tolist() == [[3, 0]]
    assert len(best_anchor(SPACE, genes(), genes(), np.empty(0))) == 0
