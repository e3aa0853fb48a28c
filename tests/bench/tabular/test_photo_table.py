"""Tables of trainings on photos: what is written is read, and what they say of accuracy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.tabular.photo_table import Outcome, PhotoTable, from_code, read_table, to_code, write_table


def outcome(seed, epochs=3, asked=3, photos=37):
    random = np.random.default_rng(seed)
    logits = torch.tensor(random.normal(size=(epochs, photos, 4)), dtype=torch.float32)
    labels = np.arange(photos) % 4
    return Outcome.of(logits, labels, [1.5, 1.0, 0.5], "ok" if epochs == asked else "diverged", 2.5, asked)


def table(outcomes):
    count = len(outcomes)
    held_out = np.arange(2 * 37).reshape(2, 37)
    candidates = [{"architecture": {"depth": n}, "recipe": {"learning_rate": 0.1}} for n in range(count)]
    return PhotoTable(candidates, np.arange(count), np.arange(count) % 2, held_out, outcomes)


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 50))
def test_codes_are_near_the_cross_entropies(loss):
    found = from_code(to_code(np.array([loss])))[0]
    assert abs(found - loss) <= 0.02 + 0.1 * loss


def test_codes_of_what_is_not_finite_are_large():
    assert (from_code(to_code(np.array([np.nan, np.inf]))) > 1e4).all()


def test_outcome_is_that_of_the_logits():
    logits = torch.tensor([[[2.0, 0.0], [0.0, 0.0]]])
    found = Outcome.of(logits, np.array([1, 0]), [0.7], "ok", 1.0, 1)
    assert found.right.tolist() == [[False, True]]
    np.testing.assert_allclose(from_code(found.codes), [[2.127, 0.693]], rtol=0.1)


def test_a_table_is_read_as_it_was_written(tmp_path):
    made = table([outcome(0), outcome(1, epochs=2), outcome(2, epochs=0)])
    file = tmp_path / "clothing-main.npz"
    write_table(file, made)
    read = read_table(file)
    assert read.candidates == made.candidates
    np.testing.assert_array_equal(read.number, made.number)
    np.testing.assert_array_equal(read.repeat, made.repeat)
    np.testing.assert_array_equal(read.held_out, made.held_out)
    for one, other in zip(read.outcomes, made.outcomes, strict=True):
        np.testing.assert_array_equal(one.right, other.right)
        np.testing.assert_array_equal(one.codes, other.codes)
        np.testing.assert_allclose(one.losses, other.losses)
        assert (one.outcome, one.epochs, one.seconds) == (other.outcome, other.epochs, other.seconds)
    before = file.read_bytes()
    write_table(file, read)
    assert file.read_bytes() == before


def test_accuracy_is_that_of_the_chosen_photos_and_chance_where_a_training_diverged():
    first, second = outcome(0), outcome(1, epochs=1)
    made = table([first, second])
    found = made.accuracy(np.arange(10))
    assert found.shape == (2, 3)
    np.testing.assert_allclose(found[0], 100 * first.right[:, :10].mean(1))
    np.testing.assert_allclose(found[1], [100 * second.right[0, :10].mean(), 10, 10])
    assert made.accuracy().shape == (2, 3)
    losses = made.cross_entropy()
    assert losses[0, 0] == pytest.approx(from_code(first.codes[0]).mean())
    assert losses[1, 2] == pytest.approx(np.log(10))
