import pytest

from bench.ops_accuracy import figures_of


def test_gaps_are_of_trainings_from_the_same_seed():
    tests = {("torch", 1): 50.0, ("torch", 0): 0.0, ("fused", 0): 1.0, ("fused", 1): 53.0}
    rows = [
        {"ops": ops, "seed": seed, "epochs": 2, "test": test, "validation": 60.0, "loss": float(seed)}
        for (ops, seed), test in tests.items()
    ]
    figures = figures_of(rows)
    assert figures["test_accuracy_fused"] == 27.0
    assert figures["test_accuracy_torch"] == 25.0
    assert figures["test_gap"] == 2.0
    assert figures["test_gap_error"] == pytest.approx(1.0)  # 51 if the other seed's were taken
    assert (figures["validation_gap"], figures["loss_gap_error"]) == (0.0, 0.0)
