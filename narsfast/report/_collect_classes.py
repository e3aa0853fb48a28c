"""How the found networks answer by class, for the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from narsfast.runs import ClassResults, RunStore


def classes_of(run: RunStore) -> list[dict[str, Any]]:
    """Return one row per found network that was tested, in the order of the results; of one for several budgets, one.

    Returns:
        JSON types. ``budgets`` are the labels that the network was found for; ``examples`` are confused images as data
        URIs, which the page shows and does not repeat in its JSON.
    """
    budgets: dict[str, list[str]] = {}
    for result in run.results():
        budgets.setdefault(result.candidate, []).append(result.budget)
    known = run.facts.class_results or {}
    return [_row(name, labels, known[name]) for name, labels in budgets.items() if name in known]


def _row(candidate: str, budgets: list[str], results: ClassResults) -> dict[str, Any]:
    return {
        "candidate": candidate,
        "budgets": budgets,
        "balanced_accuracy": results.balanced_accuracy,
        "classes": [
            {
                "name": own.name,
                "images": own.images,
                "correct": own.correct,
                "answered": own.answered,
                "accuracy": own.accuracy,
            }
            for own in results.classes
        ],
        "confusions": [
            {"label": pair.label, "answer": pair.answer, "images": pair.images} for pair in results.confusions
        ],
        "examples": [
            [
                {"uri": image.uri, "confidence": image.confidence, "file": image.file}
                for image in pair.examples
            ]
            for pair in results.confusions
            if pair.examples
        ],
    }


def balanced_accuracies(run: RunStore) -> dict[str, float]:
    """Return the balanced accuracy on test of each tested network, percent, by candidate or reference."""
    return {name: results.balanced_accuracy for name, results in (run.facts.class_results or {}).items()}
