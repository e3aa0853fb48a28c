"""Batches that are halved while they train."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narsfast.common.label_noise import LabelNoise
from narsfast.common.trial import Trial
from narsfast.cost import Budget, Counter
from narsfast.errors import UserError
from narsfast.predictor import Noise, Process, pretrain
from narsfast.search import Rung, optimize, rungs, sample_bands
from narsfast.search._halving import promoted, reached, worth_going_on
from narsfast.space import load_space

EPOCHS = 8
BUDGETS = [Budget.parse("macs=1M"), Budget.parse("macs=3M")]
SETTINGS = {"batch": 8, "iterations": 2, "epochs": EPOCHS, "chance": 10.0, "seed": 5, "halving": True}


@given(batch=st.integers(1, 200), epochs=st.integers(1, 300))
def test_rungs_cost_no_more_than_the_batch_and_nearly_as_much(batch, epochs):
    found = rungs(batch, epochs)
    lengths = [rung.epochs for rung in found]
    assert lengths == sorted(set(lengths))
    assert lengths[-1] == epochs
    steps = np.diff([0, *lengths])
    cost = sum(rung.candidates * step for rung, step in zip(found, steps, strict=True))
    assert cost <= batch * epochs
    assert found[0].candidates >= batch
    assert all(
        later.candidates == max(1, found[0].candidates // 2**number) for number, later in enumerate(found)
    )
    one_more = [max(1, (found[0].candidates + 1) // 2**number) for number in range(len(found))]
    assert (steps * one_more).sum() > batch * epochs


def test_known_rungs():
    assert rungs(8, 8) == (Rung(16, 2), Rung(8, 4), Rung(4, 8))
    assert rungs(8, 6) == (Rung(15, 2), Rung(7, 3), Rung(3, 6))
    assert rungs(8, 1) == (Rung(8, 1),)


def test_each_band_has_its_share_of_those_that_go_on():
    worth, bands = np.array([90.0, 91, 92, 93, 10, 11, 50]), np.array([0, 0, 0, 0, 1, 1, 2])
    assert promoted(worth, bands, 3).tolist() == [3, 5, 6]
    assert promoted(worth, bands, 5).tolist() == [2, 3, 4, 5, 6]


def test_a_trial_that_ended_badly_later_was_well_before():
    bad = Trial("a", (20.0, 30.0), "diverged", 4, 1.0, "a reason")
    assert (reached(bad, 2).outcome, reached(bad, 2).curve) == ("ok", (20.0, 30.0))
    assert reached(bad, 3).outcome == "diverged"


@pytest.fixture(scope="module")
def world():
    """Provide a pool for two budgets, a pretrained predictor, a process, and what each candidate is worth."""
    counter = Counter(load_space("tiny"), in_chans=1, num_classes=10)
    pool = sample_bands(counter, BUDGETS, 300, seed=0)
    predictor = pretrain(counter, pool.genes, seed=0, members=1, encoder=(16,), head=(16,))
    macs = np.log(pool.statistics[:, 0])
    recipe = counter.space.features(pool.genes, "recipe").sum(axis=1)
    worth = 70 + 5 * (macs - macs.mean()) / macs.std() + 2 * (recipe - recipe.mean())
    keys = counter.space.ids(pool.genes)
    return SimpleNamespace(
        pool=pool,
        predictor=predictor,
        process=Process.of(counter, pool.genes, Noise(300)),
        worth=dict(zip(keys, worth.tolist(), strict=True)),
        band=dict(zip(keys, pool.band.tolist(), strict=True)),
        space=counter.space,
    )


class Trainer:
    """An `Evaluate` that goes on where it was, and counts its epochs."""

    def __init__(self, world, diverging=()):
        self.world, self.diverging = world, diverging
        self.asked, self.epochs = [], 0
        self.known = {}

    def __call__(self, picked):
        self.asked.append(picked)
        for candidate in self.world.space.ids(picked.genes):
            before = self.known.get(candidate)
            self.epochs += picked.epochs - (len(before.curve) if before else 0)
            curve = tuple(self.world.worth[candidate] - 30 / epoch for epoch in range(1, picked.epochs + 1))
            bad = picked.rung > 0 and candidate in self.diverging
            trial = Trial(
                candidate, curve[: 2 if bad else None], "diverged" if bad else "ok", picked.epochs, 1.0
            )
            self.known[candidate] = trial
            yield trial


def searched(world, trainer, **options):
    return optimize(world.pool, world.predictor, trainer, **(SETTINGS | options))


@pytest.mark.parametrize("steered", [False, True])
def test_batches_are_halved_within_their_bands(world, steered):
    trainer = Trainer(world)
    options = {"steered": True, "noise": LabelNoise(300), "process": world.process} if steered else {}
    outcome = searched(world, trainer, **options)
    asked = [(p.index, p.rung, p.rungs, len(p.genes), p.epochs) for p in trainer.asked]
    assert asked == [(i, r, 3, n, e) for i in (0, 1) for r, (n, e) in enumerate(((16, 2), (8, 4), (4, 8)))]
    assert trainer.epochs == SETTINGS["batch"] * EPOCHS * SETTINGS["iterations"]
    for before, after in zip(trainer.asked, trainer.asked[1:], strict=False):
        if after.rung:
            ids = world.space.ids(before.genes)
            on = set(world.space.ids(after.genes))
            assert on < set(ids)
            for band in (0, 1):
                mine = sorted((one for one in ids if world.band[one] == band), key=world.worth.get)
                assert sum(one in on for one in mine) == len(after.genes) // 2
                if not steered:  # without noise the best ones go on
                    assert on.issuperset(mine[-(len(after.genes) // 2) :])
    assert [len(batch.genes) for batch in outcome.batches] == [16, 16]
    assert len(outcome.trials) == 32
    assert sorted(len(trial.curve) for trial in outcome.trials) == [2] * 16 + [4] * 8 + [8] * 8
    assert outcome.early_stop_epoch == EPOCHS
    assert outcome.early_stopping.reason == "halving"
    assert "halved while it trains" in outcome.early_stopping.sentence()


def test_trials_that_are_known_already_give_the_same_search(world):
    """As in a run that goes on: trials come with all that was trained since."""
    first = Trainer(world)
    found = searched(world, first)

    def stored(picked):
        return [first.known[candidate] for candidate in world.space.ids(picked.genes)]

    again = searched(world, stored)
    assert again.trials == found.trials
    for mine, theirs in zip(again.batches, found.batches, strict=True):
        np.testing.assert_array_equal(mine.genes, theirs.genes)


def test_one_that_diverges_after_it_went_on_is_a_guess_and_changes_nothing_before(world):
    found = searched(world, Trainer(world))
    (bad, *_) = [trial.candidate for trial in found.trials if len(trial.curve) == EPOCHS]
    trainer = Trainer(world, diverging=(bad,))
    searched(world, trainer)
    assert bad in trainer.known
    assert trainer.known[bad].outcome == "diverged"

    def stored(picked):
        return [trainer.known[candidate] for candidate in world.space.ids(picked.genes)]

    again = searched(world, stored)
    assert {t.candidate: t.outcome for t in again.trials} == {n: t.outcome for n, t in trainer.known.items()}


def test_a_difference_within_the_noise_counts_for_less_than_what_is_known_of_candidates(world):
    genes = world.pool.genes[world.pool.band == 1][:12]
    ids = world.space.ids(genes)
    trials = [Trial(name, (world.worth[name] - 15,), "ok", 1, 1.0) for name in ids]
    small = int(np.argmin([world.worth[name] for name in ids]))
    lucky = [
        replace(one, curve=(one.curve[0] + 3,)) if row == small else one for row, one in enumerate(trials)
    ]
    plain = worth_going_on(lucky, genes, 1, 10.0, LabelNoise(300), None)
    seen = worth_going_on(lucky, genes, 1, 10.0, LabelNoise(300), world.process)
    without = worth_going_on(trials, genes, 1, 10.0, LabelNoise(300), world.process)
    assert 0 < seen[small] - without[small] < 3
    assert plain[small] - plain.min() >= 0
    unknown = replace(lucky[0], outcome="diverged", curve=())
    assert worth_going_on([unknown, *lucky[1:]], genes, 1, 10.0, LabelNoise(300), world.process)[0] == 10.0


def test_a_pool_that_is_too_small_for_what_begins_is_refused(world):
    small = replace(
        world.pool,
        genes=world.pool.genes[:31],
        statistics=world.pool.statistics[:31],
        band=world.pool.band[:31],
    )
    with pytest.raises(UserError, match="32 candidates are to be trained, but the pool has 31"):
        optimize(small, world.predictor, Trainer(world), **SETTINGS)
