import numpy as np
import pytest
from scipy.stats import kendalltau

from narsfast.predictor import Deviation
from narsfast.predictor._validation import NORMAL_QUANTILE, SHARE, _deviation

COUNT = 60


@pytest.fixture(scope="module")
def validation(world):
    """Of the first 60 labels."""
    return world.pretrained.cross_validate(world.genes[:COUNT], world.labels[:COUNT], seed=1)


def test_folds_share_the_labels(validation):
    assert np.bincount(validation.folds).tolist() == [12] * 5
    assert validation.outputs.shape == (COUNT,)
    assert not np.array_equal(validation.folds, np.sort(validation.folds))


@pytest.mark.parametrize(("count", "folds"), [(8, 2), (11, 2), (12, 3), (19, 4), (23, 5)])
def test_a_fold_has_at_least_four_labels(world, count, folds):
    sizes = np.bincount(world.pretrained.cross_validate(world.genes[:count], world.labels[:count], 0).folds)
    assert len(sizes) == folds
    assert sizes.min() >= 4
    assert sizes.max() - sizes.min() <= 1


def test_held_out_labels_are_ranked(world, validation):
    taus = [
        kendalltau(validation.outputs[held_out], world.labels[:COUNT][held_out]).statistic
        for held_out in (validation.folds == fold for fold in range(5))
    ]
    assert np.mean(taus) > 0.6


def intervals(world, labels, seeds):
    """For each seed: share of new labels, neither learned nor cross-validated, in the 80 % interval; median width."""
    shares, widths = [], []
    for seed in range(seeds):
        rows = np.random.default_rng(seed).permutation(len(world.genes))
        known, new = rows[:COUNT], rows[COUNT:]
        learned = world.genes[known], labels[known], seed
        predictor = world.pretrained.fit(*learned).calibrated(world.pretrained.cross_validate(*learned))
        mean, std = predictor.predict(world.genes[new])
        shares.append(float((np.abs(labels[new] - mean) <= NORMAL_QUANTILE * std).mean()))
        widths.append(float(np.median(std)))
    return shares, widths


def test_the_interval_holds_most_new_labels(world):
    shares, _ = intervals(world, world.labels, seeds=3)
    assert all(0.65 <= share <= 0.95 for share in shares), shares


def test_the_interval_grows_with_the_noise_of_labels(world):
    """What no predictor can know is wider than the members' own deviation."""
    noise = np.random.default_rng(0).normal(0, 6, len(world.labels))
    shares, widths = intervals(world, world.labels + noise, seeds=3)
    assert 0.65 <= np.mean(shares) <= 0.95, shares
    assert min(widths) > 4


@pytest.mark.parametrize("count", [1, 2, 7])
def test_too_few_labels_hold_nothing_out(world, count):
    validation = world.pretrained.cross_validate(world.genes[:count], world.labels[:count], seed=0)
    assert validation.folds.tolist() == [-1] * count
    assert validation.outputs.tolist() == [0.0] * count
    assert validation.deviation == Deviation()


def test_held_out_labels_leave_no_trace_in_their_own_prediction(world, validation):
    """Labels of one fold change: its outputs stay, those of the others do not."""
    held_out = validation.folds == 2
    changed = world.labels[:COUNT].copy()
    changed[held_out] = changed[held_out][::-1] + 20
    again = world.pretrained.cross_validate(world.genes[:COUNT], changed, seed=1)
    np.testing.assert_array_equal(again.folds, validation.folds)
    np.testing.assert_array_equal(again.outputs[held_out], validation.outputs[held_out])
    assert (again.outputs[~held_out] != validation.outputs[~held_out]).all()


def test_the_same_seed_gives_the_same(world, validation):
    arguments = world.genes[:COUNT], world.labels[:COUNT]
    same, other = (world.pretrained.cross_validate(*arguments, seed) for seed in (1, 2))
    np.testing.assert_array_equal(same.folds, validation.folds)
    np.testing.assert_array_equal(same.outputs, validation.outputs)
    assert same.deviation == validation.deviation
    assert not np.array_equal(other.folds, validation.folds)


def test_an_earlier_fit_leaves_no_trace(world, fitted, validation):
    again = fitted.cross_validate(world.genes[:COUNT], world.labels[:COUNT], seed=1)
    np.testing.assert_array_equal(again.outputs, validation.outputs)


@pytest.mark.parametrize(("factor", "shift"), [(10, 0), (1, -60), (0.1, 3)])
def test_outputs_have_no_unit(world, validation, factor, shift):
    labels = factor * world.labels[:COUNT] + shift
    other = world.pretrained.cross_validate(world.genes[:COUNT], labels, seed=1)
    np.testing.assert_allclose(other.outputs, validation.outputs, atol=0.02)
    assert other.deviation.scale == pytest.approx(validation.deviation.scale, rel=0.1)
    assert other.deviation.floor == pytest.approx(validation.deviation.floor, rel=0.1)


def test_calibration_changes_the_uncertainty_alone(world, fitted, validation):
    calibrated = fitted.calibrated(validation)
    (mean, std), (before, std_before) = (p.predict(world.genes) for p in (calibrated, fitted))
    np.testing.assert_array_equal(mean, before)
    assert not np.allclose(std, std_before)
    weights = calibrated.weights()
    assert (weights.deviation_scale, weights.deviation_floor) == (
        validation.deviation.scale,
        validation.deviation.floor,
    )
    assert fitted.deviation == Deviation()


def test_a_new_fit_forgets_the_calibration(world, fitted, validation):
    again = fitted.calibrated(validation).fit(world.genes[:40], world.labels[:40], seed=3)
    assert again.deviation == Deviation()


def test_the_deviation_holds_its_share_of_errors():
    """A quantile of the errors, and a little more: one more error would have to count as outside."""
    rng = np.random.default_rng(0)
    variance = rng.uniform(0.01, 0.1, 200)
    errors = rng.normal(0, 3 * np.sqrt(variance + variance.mean()))
    deviation = _deviation(errors, variance)
    assert deviation.floor == pytest.approx(np.sqrt(variance.mean()))
    assert deviation.scale == pytest.approx(3, rel=0.2)
    width = NORMAL_QUANTILE * deviation.scale * np.sqrt(variance + deviation.floor**2)
    inside = int((np.abs(errors) <= width).sum())
    assert SHARE * 200 <= inside <= SHARE * 201 + 1


def test_members_that_agree_have_a_deviation_still():
    deviation = _deviation(np.array([0.1, -0.2, 0.3, 0.1, 0.2, -0.1, 0.1, 0.1]), np.zeros(8))
    assert deviation.floor > 0
    assert np.isfinite(deviation.scale)
    assert 0.1 <= NORMAL_QUANTILE * deviation.scale * deviation.floor <= 0.3


def test_labels_are_checked(world):
    with pytest.raises(ValueError, match="one finite label a candidate"):
        world.pretrained.cross_validate(world.genes[:2], [1.0, float("nan")], seed=0)
