from itertools import count, product

import pytest

from bench.ops_accuracy import OPS, figures_of


def test_gaps_are_of_trainings_from_the_same_seed():
    better = {("fused", 0): 1.0, ("torch", 0): 0.0, ("fused", 1): 53.0, ("torch", 1): 50.0}
    number = count()
    rows = [
        {
            "ops": ops,
            "seed": seed,
            "epochs": 2,
            "test": better[ops, seed],
            "validation": next(number),
            "loss": 1.0,
        }
        for seed, ops in reversed(list(product(range(2), OPS)))
    ]
    figures = figures_of(rows)
    assert figures["test_accuracy_fused"] == 27.0
    assert figures["test_accuracy_torch"] == 25.0
    assert figures["test_gap"] == 2.0
    assert figures["test_gap_error"] == pytest.approx(1.0)
    assert figures["validation_gap"] == 1.0
    assert (figures["loss_gap"], figures["loss_gap_error"]) == (0.0, 0.0)
