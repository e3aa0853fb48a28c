import json

import pytest

from narsfast.runs import ClassCounts, ClassResults, ConfusedImage, Confusion, RunStore

RESULTS = ClassResults(
    (
        ClassCounts("cat", images=10, correct=9, answered=12),
        ClassCounts("dog", images=4, correct=1, answered=2),
        ClassCounts("fox", images=0, correct=0, answered=0),
    ),
    (Confusion(1, 0, 3, (ConfusedImage(7, 88.5, "AAAA"),)), Confusion(0, 1, 1)),
)


def test_each_class_with_images_counts_the_same():
    assert RESULTS.balanced_accuracy == pytest.approx((90 + 25) / 2)
    assert [counts.accuracy for counts in RESULTS.classes] == [90.0, 25.0, None]
    assert [counts.precision for counts in RESULTS.classes] == [75.0, 50.0, None]
    assert [counts.name for counts in RESULTS.worst()] == ["dog", "cat"]


def test_counts_and_confusions_are_the_matrix():
    assert RESULTS.matrix() == [[9, 1, 0], [3, 1, 0], [0, 0, 0]]


def test_results_are_stored_by_network(tmp_path):
    with RunStore.open(tmp_path / "run", {"seed": 1}) as run:
        assert run.facts.class_results is None
        known = {"a": RESULTS, "torchvision:b": ClassResults(RESULTS.classes, ())}
        run.facts.class_results = known
        assert run.facts.class_results == known
        assert json.loads(json.dumps(run.fact("class_results")))["a"]["confusions"][0]["examples"] == [
            {"index": 7, "confidence": 88.5, "thumbnail": "AAAA", "file": ""}
        ]
