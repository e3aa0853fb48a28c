import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from narsfast.predictor._targets import center_and_scale, compress

VALUES = st.floats(-1e9, 1e9)


def compressed(*values):
    return compress(torch.tensor(values, dtype=torch.float64))


@given(VALUES, VALUES)
def test_compress_keeps_the_order(one, other):
    low, high = compressed(min(one, other), max(one, other))
    assert low <= high
    if high < 1e4 and abs(one - other) > 1e-6 * max(1, abs(one)):
        assert low < high


@given(st.floats(-1, 1e9))
def test_compress_keeps_values_from_minus_one_on(value):
    assert compressed(value)[0] == value


@given(st.floats(-1e9, -1))
def test_expansion_inverts_compress(value):
    (output,) = compressed(value)
    assert output <= -1
    assert -float(torch.exp(-1 - output)) == pytest.approx(value)


@given(st.floats(-21, -1))
def test_compress_inverts_the_expansion(output):
    assert float(compressed(-np.exp(-1 - output))[0]) == pytest.approx(output)


def test_compress_is_smooth_at_minus_one():
    values = torch.tensor([-1 - 1e-6, -1, -1 + 1e-6], dtype=torch.float64, requires_grad=True)
    compress(values).sum().backward()
    torch.testing.assert_close(compress(values).detach(), values.detach(), atol=1e-11, rtol=0)
    torch.testing.assert_close(values.grad, torch.ones(3, dtype=torch.float64), atol=2e-6, rtol=0)


@given(VALUES)
def test_gradients_of_compress_are_finite(value):
    values = torch.tensor([value], dtype=torch.float64, requires_grad=True)
    compress(values).sum().backward()
    assert float(values.grad) == pytest.approx(-1 / value if value < -1 else 1)


def normal(count=4000):
    return torch.from_numpy(np.random.default_rng(0).normal(70, 3, count).astype(np.float32))


def test_scale_of_normal_labels_is_their_standard_deviation():
    center, scale = center_and_scale(normal())
    assert float(center) == pytest.approx(70, abs=0.2)
    assert float(scale) == pytest.approx(3, abs=0.15)


def test_scale_is_robust_to_trials_at_chance():
    labels = normal()
    spoiled = labels.clone()
    spoiled[:200] = 10.0
    for clean, dirty in zip(center_and_scale(labels), center_and_scale(spoiled), strict=True):
        assert float(dirty) == pytest.approx(float(clean), rel=0.1)


def test_scale_is_the_standard_deviation_if_most_labels_are_equal():
    labels = torch.full((40,), 10.0)
    labels[:4] = 50.0
    center, scale = center_and_scale(labels)
    assert center == 10
    assert float(scale) == pytest.approx(float(labels.std(correction=0)))


@given(st.floats(0, 100, width=32), st.integers(1, 300))
def test_equal_labels_have_scale_one(label, count):
    assert center_and_scale(torch.full((count,), label)) == (torch.tensor(label), torch.tensor(1.0))


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=50), st.sampled_from([0.25, 4.0, 1024.0]))
def test_center_and_scale_have_the_unit_of_labels(tenths, factor):
    labels = torch.tensor(tenths, dtype=torch.float32) / 8
    center, scale = center_and_scale(labels)
    assert labels.min() <= center <= labels.max()
    assert scale > 0
    if len(set(tenths)) > 1:
        assert center_and_scale(factor * labels) == (factor * center, factor * scale)
