import numpy as np
import pytest
from scipy.stats import kendalltau

from narsfast.predictor import Deviation
from narsfast.predictor._validation import COVERAGE, NORMAL_QUANTILE, _deviation

COUNT = 60


@pytest.fixture(scope="module")
def validation(world):
    """Cross-validate on the first 60 labels."""
    return world.pretrained.cross_validate(world.genes[:COUNT], world.labels[:COUNT], seed=1)


@pytest.fixture
def quick(world, few_steps):
    """Cross-validate in few steps."""
    return world.pretrained.cross_validate(world.genes[:COUNT], world.labels[:COUNT], seed=1)


def test_folds_partition_the_labels_at_random(validation):
    assert np.bincount(validation.folds).tolist() == [12] * 5
    assert validation.outputs.shape == (COUNT,)
    assert not np.array_equal(validation.folds, np.sort(validation.folds))


@pytest.mark.parametrize(("count", "folds"), [(8, 2), (11, 2), (12, 3), (19, 4), (23, 5)])
def test_folds_have_at_least_four_labels(world, few_steps, count, folds):
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
    """Return, by seed, the share of unused labels in the 80 % interval and the median deviation."""
    shares, widths = [], []
    for seed in range(seeds):
        rows = np.random.default_rng(seed).permutation(len(world.genes))
        known, new = rows[:COUNT], rows[COUNT:]
        training = world.genes[known], labels[known], seed
        predictor = world.pretrained.fit(*training).calibrated(world.pretrained.cross_validate(*training))
        mean, std = predictor.predict(world.genes[new])
        shares.append(float((np.abs(labels[new] - mean) <= NORMAL_QUANTILE * std).mean()))
        widths.append(float(np.median(std)))
    return shares, widths


def test_80_percent_interval_covers_new_labels(world):
    shares, _ = intervals(world, world.labels, seeds=3)
    assert all(0.65 <= share <= 0.95 for share in shares), shares


def test_interval_grows_with_the_noise_of_labels(world):
    """Noise that no predictor can know exceeds the ensemble's own deviation."""
    noise = np.random.default_rng(0).normal(0, 6, len(world.labels))
    shares, widths = intervals(world, world.labels + noise, seeds=3)
    assert 0.65 <= np.mean(shares) <= 0.95, shares
    assert min(widths) > 4


@pytest.mark.parametrize("count", [1, 2, 7])
def test_nothing_is_held_out_with_too_few_labels(world, count):
    validation = world.pretrained.cross_validate(world.genes[:count], world.labels[:count], seed=0)
    assert validation.folds.tolist() == [-1] * count
    assert validation.outputs.tolist() == [0.0] * count
    assert validation.deviation == Deviation()


def test_held_out_labels_do_not_change_their_own_predictions(world, quick):
    """If the labels of one fold change, the outputs of all other folds change, but not its own."""
    held_out = quick.folds == 2
    changed = world.labels[:COUNT].copy()
    changed[held_out] = changed[held_out][::-1] + 20
    again = world.pretrained.cross_validate(world.genes[:COUNT], changed, seed=1)
    np.testing.assert_array_equal(again.folds, quick.folds)
    np.testing.assert_array_equal(again.outputs[held_out], quick.outputs[held_out])
    assert (again.outputs[~held_out] != quick.outputs[~held_out]).all()


def test_cross_validation_depends_on_the_seed_only(world, quick):
    arguments = world.genes[:COUNT], world.labels[:COUNT]
    same, other = (world.pretrained.cross_validate(*arguments, seed) for seed in (1, 2))
    np.testing.assert_array_equal(same.folds, quick.folds)
    np.testing.assert_array_equal(same.outputs, quick.outputs)
    assert same.deviation == quick.deviation
    assert not np.array_equal(other.folds, quick.folds)


def test_earlier_fit_has_no_influence(world, fitted, quick):
    again = fitted.cross_validate(world.genes[:COUNT], world.labels[:COUNT], seed=1)
    np.testing.assert_array_equal(again.outputs, quick.outputs)


@pytest.mark.parametrize(("factor", "shift"), [(10, 0), (1, -60), (0.1, 3)])
def test_outputs_do_not_depend_on_the_unit_of_labels(world, quick, factor, shift):
    labels = factor * world.labels[:COUNT] + shift
    other = world.pretrained.cross_validate(world.genes[:COUNT], labels, seed=1)
    np.testing.assert_allclose(other.outputs, quick.outputs, atol=0.02)
    assert other.deviation.scale == pytest.approx(quick.deviation.scale, rel=0.1)
    assert other.deviation.floor == pytest.approx(quick.deviation.floor, rel=0.1)


def test_calibration_changes_only_the_uncertainty(world, fitted, validation):
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


def test_new_fit_resets_the_calibration(world, fitted, validation):
    again = fitted.calibrated(validation).fit(world.genes[:40], world.labels[:40], seed=3)
    assert again.deviation == Deviation()


def test_deviation_covers_its_share_of_errors():
    """The quantile includes one more error, which counts as outside."""
    rng = np.random.default_rng(0)
    variance = rng.uniform(0.01, 0.1, 200)
    errors = rng.normal(0, 3 * np.sqrt(variance + variance.mean()))
    deviation = _deviation(errors, variance)
    assert deviation.floor == pytest.approx(np.sqrt(variance.mean()))
    assert deviation.scale == pytest.approx(3, rel=0.2)
    width = NORMAL_QUANTILE * deviation.scale * np.sqrt(variance + deviation.floor**2)
    inside = int((np.abs(errors) <= width).sum())
    assert COVERAGE * 200 <= inside <= COVERAGE * 201 + 1


def test_error_to_come_counts_as_outside():
    """Of nine errors, 0.8 * 10 / 9 are within: the ninth part of the way from the eighth to the largest."""
    errors = np.arange(1.0, 10.0)
    deviation = _deviation(errors, np.full(9, 0.5))
    width = NORMAL_QUANTILE * deviation.scale * np.sqrt(0.5 + deviation.floor**2)
    assert width == pytest.approx(np.quantile(errors, COVERAGE * 10 / 9))
    assert width > np.quantile(errors, COVERAGE) + 0.5


def test_deviation_is_positive_if_members_agree():
    deviation = _deviation(np.array([0.1, -0.2, 0.3, 0.1, 0.2, -0.1, 0.1, 0.1]), np.zeros(8))
    assert deviation.floor > 0
    assert np.isfinite(deviation.scale)
    assert 0.1 <= NORMAL_QUANTILE * deviation.scale * deviation.floor <= 0.3


def test_cross_validate_refuses_wrong_labels(world):
    with pytest.raises(ValueError, match="one finite label per candidate"):
        world.pretrained.cross_validate(world.genes[:2], [1.0, float("nan")], seed=0)
