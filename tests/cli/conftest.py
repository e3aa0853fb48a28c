"""What tests of several commands share."""

import pytest

from narsfast.runs import PickedCandidate, Result, RunStore


@pytest.fixture
def stored(tmp_path):
    """Make a run with a batch and a result, without any training."""
    path = tmp_path / "run"
    with RunStore.open(path, {"seed": 0}) as run:
        run.facts.stage = "done"
        run.add_batch(0, 2, [PickedCandidate("a" * 16, (0, 1), {"resolution": 32}, {"ema": True})])
        run.add_result(Result("macs<=1M", "a" * 16, 900_000, 5_000, 90.5, 91.0, 92.25, "family/macs-1M"))
    return path
