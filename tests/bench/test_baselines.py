import json

import pytest

from bench import baselines
from narsfast import pipeline


def row(name, seed, found, baseline):
    return {
        "baseline": name,
        "seed": seed,
        "found_macs": 10,
        "baseline_macs": 12,
        "found_validation": found + 1,
        "baseline_validation": baseline,
        "found_test": found,
        "standard_test": baseline + 0.5,
        "baseline_test": baseline,
        "predictor_tau": seed / 4,
    }


def test_gaps_pair_equal_seeds_and_have_standard_errors():
    rows = [row("small", 0, 72.0, 70.0), row("small", 1, 76.0, 70.0), row("large", 0, 80.0, 81.0)]
    rows += [row("large", 1, 80.0, 81.0)]
    figures = baselines.figures_of(rows)
    assert figures["mobilenet_v3_small_gap"] == 4.0
    assert figures["mobilenet_v3_small_gap_error"] == pytest.approx(2.0)
    assert (figures["mobilenet_v3_large_gap"], figures["mobilenet_v3_large_gap_error"]) == (-1.0, 0.0)
    assert figures["mobilenet_v3_small_found_test"] == 74.0
    assert figures["mobilenet_v3_small_validation_gap"] == 5.0
    assert figures["mobilenet_v3_small_recipe_gap"] == 3.5
    assert figures["mobilenet_v3_small_architecture_gap"] == 0.5
    assert figures["predictor_tau"] == 0.125
    assert "mobilenet_v3_small_gap_error" not in baselines.figures_of(rows[::2])


@pytest.mark.long
def test_judge_returns_found_network_beside_its_baseline_and_reuses_what_is_kept(tmp_path, monkeypatch):
    """On the digits, in a space of one known size, with the smallest of trainings."""
    monkeypatch.setattr(baselines, "OPTIONS", {"fix": {"resolution": 32}, "pool_bounds": "macs=0.2M:6M"})
    monkeypatch.setattr(baselines, "MODELS", {"small": "torchvision:mobilenet_v3_small"})
    options = {**baselines.QUICK, "pool_size": 16, "seed": 0}
    rows = baselines.judge(tmp_path / "run", "digits", {"small": "macs=2M"}, options)
    assert [row["baseline"] for row in rows] == ["small"]
    assert rows[0]["found_macs"] <= 2_000_000
    assert rows[0]["baseline_macs"] > 0
    kept = tmp_path / "run" / "standard.json"
    assert json.loads(kept.read_text()) == [[rows[0]["standard_validation"], rows[0]["standard_test"]]]
    kept.write_text("[[1.0, 2.0]]")  # what is kept is not trained again
    again = baselines.judge(tmp_path / "run", "digits", {"small": "macs=2M"}, options)
    assert again == [rows[0] | {"standard_validation": 1.0, "standard_test": 2.0}]
    again = pipeline.run(tmp_path / "run", workers=1)
    assert rows[0]["found_test"] == again[0].test
