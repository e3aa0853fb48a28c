import pytest

from bench.ops_accuracy import EVERY, OPS, RESOLUTION, accuracy_figures, gradient_figures, gradient_rows
from narsfast.data import shared_data


def test_accuracy_gaps_pair_equal_seeds():
    tests = {("torch", 1): 50.0, ("torch", 0): 0.0, ("fused", 0): 1.0, ("fused", 1): 53.0}
    rows = [
        {"ops": ops, "seed": seed, "epochs": 2, "test": test, "validation": 60.0, "loss": float(seed)}
        for (ops, seed), test in tests.items()
    ]
    figures = accuracy_figures(rows)
    assert figures["test_accuracy_fused"] == 27.0
    assert figures["test_accuracy_torch"] == 25.0
    assert figures["test_gap"] == 2.0
    assert figures["test_gap_error"] == pytest.approx(1.0)  # 51 if the other seed's were taken
    assert (figures["validation_gap"], figures["loss_gap_error"]) == (0.0, 0.0)


def test_gradient_figures_are_medians_and_shares_of_large_errors():
    rows = [{"step": 5 * i, "fused": 1e-6 * (i + 1), "torch": 10.0**-i} for i in range(5)]
    assert gradient_figures(rows) == pytest.approx(
        {
            "fused_median_error_millionths": 3.0,
            "fused_large_error_percent": 0.0,
            "torch_median_error_millionths": 1e4,
            "torch_large_error_percent": 80.0,
        }
    )


def test_gradients_of_both_kinds_of_ops_are_near_the_exact_one():
    rows = gradient_rows(shared_data("digits", RESOLUTION), steps=EVERY + 1)
    assert [row["step"] for row in rows] == [0, EVERY]
    assert all(0 < row[ops] < 1e-2 for row in rows for ops in OPS)
