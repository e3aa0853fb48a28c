from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

from narsfast.common.label_noise import LabelNoise
from narsfast.common.seeds import derive_seed
from narsfast.common.trial import Trial
from narsfast.cost import Budget, Counter
from narsfast.errors import UserError
from narsfast.predictor import UNCALIBRATED, Deviation, compare_regressors, pretrain
from narsfast.search import Pool, first_batch, next_batch, optimize, sample_pool
from narsfast.space import load_space

EPOCHS = 6
SETTINGS = {"batch": 8, "iterations": 3, "epochs": EPOCHS, "chance": 10.0, "seed": 5}


@pytest.fixture(scope="module")
def world():
    """Provide a pool, a pretrained predictor, and the final accuracy of each candidate in percent."""
    counter = Counter(load_space("tiny"), in_chans=1, num_classes=10)
    pool = sample_pool(counter, Budget(counter.space.pool), 400, seed=0)
    predictor = pretrain(counter, pool.genes, seed=0, members=2, encoder=(32, 16), head=(16,))
    macs = np.log(pool.statistics[:, 0])
    recipe = counter.space.features(pool.genes, "recipe").sum(axis=1)
    accuracy = 70 + 6 * (macs - macs.mean()) / macs.std() + 2 * (recipe - recipe.mean())
    return SimpleNamespace(
        pool=pool,
        predictor=predictor,
        accuracy=accuracy,
        ids=np.array(counter.space.ids(pool.genes)),
        space=counter.space,
    )


class Trainer:
    """An `Evaluate` whose curves rank the candidates correctly from the third epoch on."""

    def __init__(self, world, backwards=False, failures=None):
        self.accuracy = dict(zip(world.ids.tolist(), world.accuracy.tolist(), strict=True))
        self.space = world.space
        self.backwards = backwards
        self.failures = failures or {}
        self.requests = []

    def __call__(self, picked):
        self.requests.append(picked)
        ids = self.space.ids(picked.genes)
        for position, candidate in enumerate(ids[::-1] if self.backwards else ids):
            accuracy = self.accuracy[candidate]
            curve = tuple(
                accuracy - 40 / epoch if epoch > 2 else 50 - accuracy / 9
                for epoch in range(1, picked.epochs + 1)
            )
            outcome = self.failures.get((picked.index, position), "ok")
            if outcome != "ok":
                curve = curve[:-1]
            yield Trial(candidate, curve, outcome, picked.epochs, 1.0)


@pytest.fixture(scope="module")
def outcome(world):
    """Run an optimization and record its requests and reports."""
    trainer, reports, fits = Trainer(world), [], []
    result = optimize(
        world.pool,
        world.predictor,
        trainer,
        **SETTINGS,
        on_fit=lambda all_fits, epoch: fits.append((list(all_fits), epoch)),
        progress=lambda *step: reports.append(step),
    )
    return SimpleNamespace(result=result, trainer=trainer, reports=reports, fits=fits)


def test_batches_have_the_wanted_sizes_and_epochs(world, outcome):
    result = outcome.result
    assert [(b.index, b.epochs) for b in result.batches] == [(0, EPOCHS), (1, 3), (2, 3)]
    assert result.early_stop_epoch == 3
    indices = np.concatenate([b.indices for b in result.batches])
    assert len(set(indices.tolist())) == 24
    for batch in result.batches:
        np.testing.assert_array_equal(batch.genes, world.pool.genes[batch.indices])
    assert result.batches[0].scores == (None,) * 8
    assert [t.candidate for t in result.trials] == sorted(world.ids[indices])
    assert outcome.trainer.requests == list(result.batches)


def test_decision_on_early_stopping_is_kept(outcome):
    found = outcome.result.early_stopping
    assert (found.epoch, found.reason, found.curves) == (3, "reached", 8)
    assert found.observed[2:] == (pytest.approx(1), pytest.approx(1), pytest.approx(1), pytest.approx(1))
    assert (found.corrected, found.reliability) == (found.observed, ())


def test_noise_of_the_labels_reaches_the_rule_whatever_the_order_of_the_trials(few_steps, world):
    """A deviation of 10 points leaves nothing of labels that vary by 7."""
    options = {**SETTINGS, "iterations": 1, "noise": LabelNoise(341, seed_deviation=10.0)}
    found = [
        optimize(world.pool, world.predictor, Trainer(world, backwards), **options).early_stopping
        for backwards in (False, True)
    ]
    assert (found[0].epoch, found[0].reason) == (EPOCHS, "noise")
    assert found[0] == found[1]


def test_later_batch_is_the_most_promising_untrained_one(world, outcome):
    """The second batch is picked by a fit to the labels of the first one at the early-stop epoch."""
    first, second, _ = outcome.result.batches
    trials = {t.candidate: t for t in outcome.result.trials}
    ids = sorted(world.ids[first.indices])
    rows = [int(np.flatnonzero(world.ids == identifier)[0]) for identifier in ids]
    labels = [trials[identifier].curve[2] for identifier in ids]
    fit = world.predictor.fit(world.pool.genes[rows], labels, derive_seed(SETTINGS["seed"], "fit", 0))
    scores, spread = replace(fit, deviation=UNCALIBRATED).predict(world.pool.genes)
    promise = scores + spread
    promise[first.indices] = -np.inf
    np.testing.assert_array_equal(second.indices, np.argsort(-promise, kind="stable")[:8])
    np.testing.assert_array_equal(second.scores, scores[second.indices])


def test_picked_batches_are_better_than_random_ones(world, outcome):
    means = [world.accuracy[b.indices].mean() for b in outcome.result.batches]
    assert means[1] > means[0] + 2
    assert means[2] > world.accuracy.mean() + 4


def test_every_fit_is_reported(outcome):
    result = outcome.result
    assert [fit.trials for fit in result.fits] == [8, 16, 24]
    assert set(result.fits[0].taus) == {"params", "macs", "ridge", "random_forest", "predictor"}
    assert [(len(fits), epoch) for fits, epoch in outcome.fits] == [(1, 3), (2, 3), (3, 3)]
    stages = [f"fit the predictor, batch {number} of 3" for number in (1, 2, 3)]
    assert outcome.reports == [(stage, done, 1) for stage in stages for done in (0, 1)]


def test_final_predictor_is_fitted_to_all_labels(world, outcome):
    result = outcome.result
    genes = np.concatenate([b.genes for b in result.batches])
    indices = np.concatenate([b.indices for b in result.batches])
    errors = result.predictor.scores(genes) - (world.accuracy[indices] - 40 / 3)
    assert np.abs(errors).mean() < 1.5


def test_final_predictor_is_calibrated_on_all_labels(world, outcome):
    """Its calibration and its tau are those of a cross-validation on the labels to which it was fitted."""
    result = outcome.result
    indices = np.concatenate([b.indices for b in result.batches])
    rows = indices[np.argsort(world.ids[indices])]
    curves = {trial.candidate: trial.curve for trial in result.trials}
    labels = [curves[identifier][result.early_stop_epoch - 1] for identifier in world.ids[rows]]
    genes = world.pool.genes[rows]
    validation = world.predictor.cross_validate(genes, labels, derive_seed(SETTINGS["seed"], "validation", 2))
    assert result.predictor.deviation == validation.deviation != Deviation()
    taus = compare_regressors(
        world.predictor, genes, labels, validation, derive_seed(SETTINGS["seed"], "baselines", 2)
    )
    assert result.fits[-1].taus == taus
    assert taus["predictor"] > 0.3


def test_order_of_trials_has_no_influence(world, outcome):
    again = optimize(
        world.pool, world.predictor, Trainer(world, backwards=True), **{**SETTINGS, "iterations": 2}
    )
    for batch, other in zip(outcome.result.batches[:2], again.batches, strict=True):
        np.testing.assert_array_equal(batch.indices, other.indices)
        assert batch.scores == other.scores
    assert set(again.trials) < set(outcome.result.trials)
    assert again.fits == outcome.result.fits[1:2]  # without on_fit only the last


def test_earlier_fit_of_the_predictor_has_no_influence(world, outcome):
    one_batch = {**SETTINGS, "iterations": 1}
    first = optimize(world.pool, world.predictor, Trainer(world), **one_batch)
    again = optimize(world.pool, outcome.result.predictor, Trainer(world), **one_batch)
    genes = world.pool.genes
    np.testing.assert_array_equal(first.predictor.scores(genes), again.predictor.scores(genes))


def test_failed_trial_has_the_label_of_chance(world):
    """A trial that diverged in the last epoch has the label of chance, although its curve is long enough."""
    trainer = Trainer(world, failures={(0, 2): "diverged"})
    result = optimize(world.pool, world.predictor, trainer, **{**SETTINGS, "iterations": 1})
    assert result.early_stop_epoch == 3
    assert len(result.trials) == 8
    failed = result.batches[0].genes[2:3]
    assert result.predictor.scores(failed)[0] < world.accuracy.min() - 40 / 3 - 10


def test_batches_are_trained_fully_without_complete_curves(few_steps, world):
    trainer = Trainer(world, failures={(0, position): "timed_out" for position in range(6)})
    result = optimize(world.pool, world.predictor, trainer, **{**SETTINGS, "iterations": 2})
    assert result.early_stop_epoch == EPOCHS
    assert result.batches[1].epochs == EPOCHS


@pytest.mark.parametrize(
    ("curve", "outcome", "expected"),
    [
        ((20.0, 30.0), "ok", 30.0),
        ((20.0,), "ok", 10.0),
        ((20.0, 30.0), "diverged", 10.0),
        ((), "failed", 10.0),
    ],
)
def test_label_is_the_accuracy_at_the_epoch_or_chance(curve, outcome, expected):
    assert Trial("c", curve, outcome, 2, 1.0).label(epoch=2, chance=10.0) == expected


def test_first_batch_is_random_and_depends_on_the_seed(world):
    first, again, other = (first_batch(world.pool, 20, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert set(first.tolist()) != set(other.tolist())
    assert len(set(first.tolist())) == 20
    drawn = np.bincount(
        np.concatenate([first_batch(world.pool, 100, seed) for seed in range(40)]), minlength=400
    )
    assert drawn.min() > 0  # 10 expected of each


@dataclass
class Scored:
    """A predictor whose score is the last gene, without uncertainty."""

    deviation: Deviation = UNCALIBRATED

    def predict(self, genes):
        return genes[:, -1].astype(float), np.zeros(len(genes))


def test_next_batch_breaks_ties_by_the_order_of_the_pool():
    genes = np.array([[0, 3], [1, 5], [2, 5], [3, 1], [4, 5], [5, 9]], np.int16)
    rows, scores = next_batch(Scored(), Pool(genes, np.zeros((6, 0))), [5], 4)
    assert rows.tolist() == [1, 2, 4, 0]
    assert scores.tolist() == [5, 5, 5, 3]


def test_batches_have_as_many_candidates_of_each_band():
    genes = np.array([[0, 9], [1, 8], [2, 7], [3, 6], [4, 5], [5, 4], [6, 3]], np.int16)
    pool = Pool(genes, np.zeros((7, 0)), np.array([0, 0, 0, 0, 1, 1, 2]))
    rows, scores = next_batch(Scored(), pool, [0], 5)
    assert rows.tolist() == [1, 2, 4, 5, 6]
    assert scores.tolist() == [8, 7, 5, 4, 3]
    assert next_batch(Scored(), pool, [0], 3)[0].tolist() == [1, 4, 6]
    assert next_batch(Scored(), pool, [0, 4, 5], 3)[0].tolist() == [1, 2, 6]


@dataclass
class Shaped(Scored):
    """The same, of a space whose architecture is the first gene."""

    space = SimpleNamespace(searches_architecture=True, architecture_fields=np.array([0]))

    def predict(self, genes):
        return genes[:, -1].astype(float), (genes[:, 1] == 1) * 2.5


def test_few_of_a_batch_are_of_one_architecture():
    genes = np.array([[0, 0, 9], [0, 0, 8], [0, 0, 7], [1, 0, 6], [1, 0, 5], [2, 0, 4]], np.int16)
    pool = Pool(genes, np.zeros((6, 0)))
    assert next_batch(Shaped(), pool, [], 4)[0].tolist() == [0, 1, 2, 3]
    assert next_batch(Shaped(), pool, [], 4, alike=2)[0].tolist() == [0, 1, 3, 4]
    assert next_batch(Shaped(), pool, [], 3, alike=1)[0].tolist() == [0, 3, 5]
    assert sorted(next_batch(Shaped(), pool, [], 6, alike=1)[0].tolist()) == [*range(6)]


def test_curiosity_weighs_the_deviation():
    genes = np.array([[0, 0, 5], [1, 1, 3], [2, 1, 2]], np.int16)
    pool = Pool(genes, np.zeros((3, 0)))
    assert next_batch(Shaped(), pool, [], 2)[0].tolist() == [1, 0]
    assert next_batch(Shaped(), pool, [], 2, curiosity=0.3)[0].tolist() == [0, 1]


def test_first_batch_begins_with_anchors_and_evens_out_the_bands():
    pool = Pool(np.arange(40, dtype=np.int16)[:, None], np.zeros((40, 0)), np.arange(40) % 3, 2)
    for seed in range(5):
        rows = first_batch(pool, 9, seed)
        assert rows[:2].tolist() == [0, 1]
        assert np.bincount(pool.band[rows]).tolist() == [3, 3, 3]
        assert len(set(rows.tolist())) == 9
    assert first_batch(pool, 1, 0).tolist() == [0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 0}, "0 candidates"),
        ({"batch": 200}, "600 candidates .* pool has 400"),
        ({"iterations": 0}, "iterations is 0"),
    ],
)
def test_wrong_sizes_are_refused(world, change, message):
    trainer = Trainer(world)
    with pytest.raises(UserError, match=message):
        optimize(world.pool, world.predictor, trainer, **{**SETTINGS, **change})
    assert not trainer.requests


def test_exhausted_pool_is_refused():
    with pytest.raises(UserError, match="pool has 1 to pick from"):
        next_batch(Scored(), Pool(np.zeros((3, 2), np.int16), np.zeros((3, 0))), [0, 2], 2)


def test_evaluate_must_return_one_trial_per_candidate(world):
    trainer = Trainer(world)
    for wrong, message in (
        (lambda trials: trials[1:], "no trial of candidates"),
        (lambda trials: [*trials, trials[0]], "unexpected trial"),
        (
            lambda trials: [*trials, Trial("elsewhere", (), "lost", 1, 0.0)],
            "unexpected trial of candidate elsewhere",
        ),
    ):
        with pytest.raises(RuntimeError, match=message):
            optimize(
                world.pool, world.predictor, lambda picked, w=wrong: w(list(trainer(picked))), **SETTINGS
            )
