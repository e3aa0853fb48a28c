import numpy as np
import pytest
from scipy.stats import kendalltau

from narsfast.report import collect
from narsfast.report._collect import batch_means, early_stopping, kendall_tau, prediction_quality

from .conftest import CHANCE, DIVERGED, SIZE, STOP, make_run


def test_labels_are_those_at_the_early_stop_epoch(known, collected):
    rows = collected["trials"]
    for batch in range(3):
        assert [row["label"] for row in rows if row["batch"] == batch] == pytest.approx(known.labels[batch])
    assert rows[DIVERGED]["label"] == CHANCE
    assert rows[0]["curve"][STOP - 1] == rows[0]["label"] != rows[0]["curve"][-1]


def test_prediction_uses_scores_from_before_training(known, collected):
    found = collected["prediction"]
    scores = known.scores[1] + known.scores[2]
    labels = known.labels[1] + known.labels[2]
    assert found["trials"] == 2 * SIZE
    assert found["tau"] == pytest.approx(kendalltau(scores, labels).statistic)
    assert found["mean_absolute_error"] == pytest.approx(np.abs(np.subtract(scores, labels)).mean())
    assert [row["batch"] for row in found["batches"]] == [1, 2]
    assert found["batches"][1]["tau"] == pytest.approx(kendalltau(known.scores[2], known.labels[2]).statistic)


def test_prediction_ignores_candidates_without_a_score(collected):
    rows = collected["trials"]
    first = [row for row in rows if row["batch"] == 0]
    assert all(row["score"] is None for row in first)
    assert prediction_quality(first) == {"trials": 0, "tau": None, "mean_absolute_error": None, "batches": []}


def test_batches_are_compared_with_random_ones_of_their_size(known, collected):
    means = collected["batches"]
    first = known.labels[0]
    assert [row["batch"] for row in means] == [0, 1, 2]
    for row in means:
        labels = known.labels[row["batch"]]
        assert row["mean"] == pytest.approx(np.mean(labels))
        assert row["best"] == pytest.approx(max(labels))
        assert row["error"] == pytest.approx(np.std(labels, ddof=1) / np.sqrt(SIZE))
        assert row["random_mean"] == pytest.approx(np.mean(first))
        assert row["random_error"] == pytest.approx(np.std(first, ddof=1) / np.sqrt(SIZE))


def test_smaller_batch_has_a_larger_random_error():
    rows = [{"batch": 0, "label": float(x)} for x in (1, 2, 3, 4)] + [{"batch": 1, "label": 5.0}]
    wide = batch_means(rows)[1]
    assert wide["trials"] == 1
    assert wide["error"] is None
    assert wide["random_error"] == pytest.approx(np.std([1, 2, 3, 4], ddof=1))


def test_early_stopping_correlates_with_the_last_epoch():
    rows = [
        {"batch": 0, "epochs": 2, "curve": [1.0, 3.0]},
        {"batch": 0, "epochs": 2, "curve": [2.0, 2.0]},
        {"batch": 0, "epochs": 2, "curve": [3.0, 4.0]},
        {"batch": 0, "epochs": 2, "curve": [9.0]},  # ended early
        {"batch": 1, "epochs": 2, "curve": [5.0, 1.0]},
    ]
    assert early_stopping(rows, "spearman") == pytest.approx([0.5, 1.0])
    assert early_stopping(rows, "kendall") == pytest.approx([1 / 3, 1.0])
    assert early_stopping(rows[:2], "spearman") == []


def test_kendall_tau_is_none_if_undefined():
    assert kendall_tau([1.0], [2.0]) is None
    assert kendall_tau([1.0, 1.0], [2.0, 3.0]) is None
    assert kendall_tau([1.0, 2.0], [2.0, 3.0]) == 1.0


def test_empty_run_has_no_content(tmp_path):
    known = make_run(tmp_path / "run", batches=0, results=0, full_config=False)
    data = collect(known.run)
    assert data["label_epoch"] is None
    assert (data["trials"], data["batches"], data["results"], data["importance"]) == ([], [], [], None)
    assert data["prediction"]["tau"] is None
    known.run.close()


def test_trials_are_compared_at_the_last_epoch_before_early_stopping(tmp_path):
    known = make_run(tmp_path / "run", batches=1, results=0, fits=False)
    known.run.facts.early_stop_epoch = None
    data = collect(known.run)
    assert data["label_epoch"] == 8
    assert data["trials"][0]["label"] == data["trials"][0]["curve"][7]
    known.run.close()
