import numpy as np
import pytest

from narsfast.report._importance import MIN_TRIALS, field_importance
from narsfast.runs import Batch, PickedCandidate
from narsfast.space import load_space


def sampled(count, label):
    """Return `count` random candidates of the tiny space with labels by `label(candidate)`."""
    space = load_space("tiny")
    genes = space.random(count, seed=3)
    candidates = space.decode(genes)
    members = tuple(
        PickedCandidate(c.id, tuple(int(x) for x in g), c.architecture, c.recipe)
        for c, g in zip(candidates, genes, strict=True)
    )
    rows = [{"candidate": c.id, "label": label(c)} for c in candidates]
    return space, [Batch(0, 8, members)], rows


def test_relevant_field_is_the_most_important():
    space, batches, rows = sampled(40, lambda c: 60.0 + 30.0 * (c.recipe["optimizer"] == "sgd"))
    found = field_importance(space.to_dict(), batches, rows)
    assert found["trials"] == 40
    assert (found["fields"][0]["name"], found["fields"][0]["part"]) == ("optimizer", "recipe")
    assert found["fields"][0]["importance"] > 5 * abs(found["fields"][1]["importance"])
    assert found["error"] < 0.3 * found["constant_error"]


def test_noise_is_not_predicted():
    random = np.random.default_rng(0)
    space, batches, rows = sampled(24, lambda _: float(random.normal(80, 3)))
    found = field_importance(space.to_dict(), batches, rows)
    assert found["error"] > 0.9 * found["constant_error"]


def test_importance_is_deterministic():
    space, batches, rows = sampled(12, lambda c: float(len(c.id) + c.architecture["stem.channels"]))
    assert field_importance(space.to_dict(), batches, rows) == field_importance(
        space.to_dict(), batches, rows
    )


@pytest.mark.parametrize("known", [0, MIN_TRIALS - 1])
def test_importance_is_none_with_too_few_trials(known):
    space, batches, rows = sampled(MIN_TRIALS, lambda _: 1.0)
    for row in rows[known:]:
        row["label"] = None
    assert field_importance(space.to_dict(), batches, rows) is None
