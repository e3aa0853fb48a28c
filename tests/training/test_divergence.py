import math

import numpy as np
import pytest

from narsfast.training._divergence import DivergedError, Divergence, guessing_loss

LABELS = np.repeat(np.arange(4), [10, 20, 30, 40])
GUESS = guessing_loss(LABELS, 4, 0.1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_guessing_loss_is_the_least_of_all_constant_answers(smoothing):
    targets = (1 - smoothing) * np.eye(4)[LABELS] + smoothing / 4
    answers = np.random.default_rng(0).dirichlet(np.ones(4), 10_000)
    losses = -(targets.mean(axis=0) * np.log(answers)).sum(axis=1)
    found = guessing_loss(LABELS, 4, smoothing)
    assert found <= losses.min()
    assert found == pytest.approx(losses.min(), abs=0.01)


def test_guessing_loss_of_a_single_occurring_class_is_0():
    assert guessing_loss(np.zeros(5, np.int64), 2, 0.0) == 0


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ([math.nan], "not finite"),
        ([1.0, math.inf], "not finite"),
        ([2.9] * 3, "2 times a uniform guess's"),
        ([GUESS + 0.01] * 5, "one answer for all images"),
        ([0.5, *[GUESS + 0.01] * 5], "one answer for all images"),
    ],
)
def test_losses_that_diverge(losses, said):
    watch = Divergence(LABELS, 4, 0.1, distilled=False)
    for count in range(1, len(losses)):
        watch.check(losses[:count])
    with pytest.raises(DivergedError, match=said):
        watch.check(losses)


@pytest.mark.parametrize(
    "losses",
    [[2.9, 2.9, 2.7, 2.9], [GUESS + 0.01] * 4, [GUESS + 0.01] * 4 + [GUESS - 0.01] + [GUESS + 0.01] * 4],
)
def test_losses_that_do_not_diverge(losses):
    watch = Divergence(LABELS, 4, 0.1, distilled=False)
    for count in range(1, len(losses) + 1):
        watch.check(losses[:count])


def test_loss_with_a_teacher_is_not_compared_with_a_guess():
    Divergence(LABELS, 4, 0.1, distilled=True).check([GUESS + 0.01] * 9)
