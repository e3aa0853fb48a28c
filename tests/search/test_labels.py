"""What the predictor learns of trials."""

import numpy as np
import pytest

from narsfast.common.label_noise import LabelNoise
from narsfast.common.trial import EpochMetrics, Trial
from narsfast.search import labels_of, standings

CHANCE = 10.0
NOISE = LabelNoise(300)


def trial(name, *curve, entropies=None, outcome="ok"):
    given = tuple(entropies) if entropies else tuple(2.0 - value / 50 for value in curve)
    metrics = EpochMetrics(cross_entropy=given if len(given) == len(curve) else ())
    return Trial(name, curve, outcome, 3, 1.0, metrics=metrics)


TRIALS = [trial("c", 30, 40, 50), trial("a", 31, 44, 52), trial("b", 20, 41, 58), trial("d", 33, 45, 55)]


def test_without_noise_they_are_accuracies():
    assert labels_of(TRIALS, 2, CHANCE).tolist() == [40, 44, 41, 45]


def test_with_noise_they_are_standings_at_their_epoch():
    found = labels_of(TRIALS, 2, CHANCE, NOISE)
    ordered = sorted(TRIALS, key=lambda one: one.candidate)
    known = standings([one.until(2) for one in ordered], 300)
    wanted = {one.candidate: standing.accuracy for one, standing in zip(ordered, known, strict=True)}
    assert found.tolist() == [wanted[one.candidate] for one in TRIALS]
    assert not np.array_equal(found, [40, 44, 41, 45])


def test_their_order_has_no_influence():
    again = labels_of(TRIALS[::-1], 3, CHANCE, NOISE)[::-1]
    np.testing.assert_array_equal(labels_of(TRIALS, 3, CHANCE, NOISE), again)


def test_what_did_not_end_well_is_a_guess_and_says_nothing_of_others():
    bad = trial("e", 11, entropies=(9.0,), outcome="diverged")
    none = trial("f")
    found = labels_of([bad, *TRIALS, none], 3, CHANCE, NOISE)
    assert (found[0], found[-1]) == (CHANCE, CHANCE)
    np.testing.assert_array_equal(found[1:-1], labels_of(TRIALS, 3, CHANCE, NOISE))


def test_what_was_cut_gains_what_the_others_gained():
    cut = [trial("e", 28), trial("f", 20, 44), trial("g", 98)]
    gained = {1: (50 + 52 + 58 + 55 - 30 - 31 - 20 - 33) / 4, 2: (50 + 52 + 58 + 55 - 40 - 44 - 41 - 45) / 4}
    found = labels_of([*TRIALS, *cut], 3, CHANCE)
    assert found[:4].tolist() == labels_of(TRIALS, 3, CHANCE).tolist()
    np.testing.assert_allclose(found[4:], [28 + gained[1], 44 + gained[2], 100])
    with_noise = labels_of([*TRIALS, *cut], 3, CHANCE, NOISE)
    np.testing.assert_array_equal(with_noise[:4], labels_of(TRIALS, 3, CHANCE, NOISE))
    again = labels_of([*cut[::-1], *TRIALS[::-1]], 3, CHANCE, NOISE)[::-1]
    np.testing.assert_array_equal(with_noise, np.concatenate([again[:4], again[4:]]))


def test_what_was_cut_where_nothing_went_on_is_a_guess():
    assert labels_of([trial("a", 30), trial("b", 40)], 2, CHANCE).tolist() == [CHANCE, CHANCE]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_trials_are_worth_their_accuracies(count):
    assert labels_of(TRIALS[:count], 3, CHANCE, NOISE).tolist() == [50, 52][:count]
