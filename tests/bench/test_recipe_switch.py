import json
from contextlib import nullcontext

import pytest
import torch

from bench import recipe_switch
from narsfast.arch import create_model


def test_wide_has_more_channels_and_deep_more_blocks():
    networks = {
        name: create_model(getattr(recipe_switch, name.upper()), 10, 3) for name in ("base", "wide", "deep")
    }
    convolutions = {
        name: [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
        for name, network in networks.items()
    }
    assert convolutions["wide"][-1].out_channels / convolutions["base"][-1].out_channels == pytest.approx(
        1.4, rel=0.01
    )
    assert len(convolutions["deep"]) == len(convolutions["base"]) + 2 * 3
    for network in networks.values():
        assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_gap_returns_mean_and_standard_error():
    points, error = recipe_switch.gap([1.0, 3.0], [1.0, 1.0])
    assert points == 1.0
    assert error == pytest.approx(1.0)


@pytest.mark.parametrize(("deep", "switched"), [(11.0, 1.0), (9.0, 0.0)])
def test_ranking_switches_where_the_gap_changes_sign(deep, switched):
    by_case = {
        ("switch", "wide", "plain"): [10.0, 12.0],
        ("switch", "deep", "plain"): [5.0, 7.0],
        ("switch", "wide", "regularised"): [10.0, 10.0],
        ("switch", "deep", "regularised"): [deep, deep],
    }
    for name in recipe_switch.TRANSFERRED_TO:
        by_case["transfer", name, "standard"] = [50.0, 52.0]
        by_case["transfer", name, "found"] = [53.0, 53.0]
    figures = recipe_switch._figures(by_case)
    assert figures["ranking_switched"] == switched
    assert figures["wide_over_deep_plain"] == 5.0
    assert figures["found_over_standard_wide"] == 2.0
    assert figures["found_over_standard_wide_error"] == 1.0


@pytest.mark.long
def test_main_answers_both_questions(tmp_path, monkeypatch):
    """On the digits, with the smallest of trainings."""
    options = ["--quick", "--data", str(tmp_path), "--json", str(tmp_path / "found.json")]
    monkeypatch.setattr("sys.argv", ["recipe_switch", *options])
    monkeypatch.setattr("bench.harness.photos", lambda folder: nullcontext("digits"))
    recipe_switch.main()
    found = json.loads((tmp_path / "found.json").read_text())
    assert len(found["rows"]) == 8
    assert all(0 <= accuracy <= 100 for row in found["rows"] for accuracy in row["test_accuracies"])
    assert found["figures"]["ranking_switched"] in (0, 1)
    standard, searched = (row["fields"] for row in found["rows"] if row["network"] == "mobilenet_v3_small")
    assert (standard["schedule"], standard["dropout"]) == ("cosine", 0.2)
    assert searched != standard
