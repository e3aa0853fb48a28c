import json
from pathlib import Path

import numpy as np
import pytest

from narsfast.common.label_noise import SAMPLING_SHARE, SEED_DEVIATION, LabelNoise, label_noise

TRAININGS = Path(__file__).parents[2] / "bench" / "results" / "ops_accuracy.json"


def test_noise_is_that_of_the_seed_and_of_the_images():
    assert label_noise(75.0, 341) == pytest.approx(1.33**2 + 0.6 * 1e4 * 0.75 * 0.25 / 341)
    assert label_noise(75.0, 10**9) == pytest.approx(1.33**2)
    assert label_noise([[0.0, 100.0]], 10).tolist() == [[pytest.approx(1.33**2)] * 2]


def test_noise_is_largest_at_half_and_falls_with_images():
    variances = label_noise(np.arange(0.0, 101.0), 100)
    assert variances.argmax() == 50
    np.testing.assert_allclose(variances, variances[::-1])
    assert (label_noise(np.arange(1.0, 100.0), 400) < variances[1:-1]).all()


def test_constants_can_be_others():
    assert LabelNoise(100, seed_deviation=0.0, sampling_share=1.0).variance(50.0) == pytest.approx(25.0)


def test_constants_are_those_of_the_repeated_trainings():
    """What varies in validation and test at once is the seed's, the rest that of the images."""
    rows = [row for row in json.loads(TRAININGS.read_text())["rows"] if "validation" in row]
    accuracies = np.array([[row["validation"], row["test"]] for row in rows])
    covariance, shares = np.cov(accuracies.T), accuracies.mean(axis=0) / 100
    assert np.sqrt(covariance[0, 1]) == pytest.approx(SEED_DEVIATION, abs=0.005)
    binomial = 1e4 * shares * (1 - shares) / np.array([341, 372])
    own = covariance.trace() - 2 * covariance[0, 1]
    assert own / binomial.sum() == pytest.approx(SAMPLING_SHARE, abs=0.005)
