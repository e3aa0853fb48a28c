"""Which early-stop rule a run has, and what it keeps of the decision."""

import pytest

import narsfast as nf
from narsfast.common.label_noise import LabelNoise
from narsfast.runs import RunStore

pytestmark = pytest.mark.usefixtures("always_few_steps")

OPTIONS = {
    "budgets": ["macs=200K"],
    "pool_size": 64,
    "trials_per_batch": 6,
    "iterations": 2,
    "epochs": 3,
    "ensemble_members": 1,
    "seed": 5,
}


@pytest.fixture
def asked(tmp_path, smallest):
    """Make a run whose first batch is asked for; nothing is trained."""
    with nf.Run.create(tmp_path / "run", {"space": smallest["space"], **OPTIONS}) as run:
        assert len(run.ask(6)) == 6
    return tmp_path / "run"


def train_first_batch(path):
    """Tell curves that rank alike in each epoch, half a point apart, and return the run's state."""
    with nf.Run(path) as run:
        for number, candidate in enumerate(run.ask(6)):
            final = 75 + number / 2
            run.tell(candidate, [final - 20, final - 10, final])
        return run.state, {candidate.epochs for candidate in run.ask(6)}


def test_a_run_takes_account_of_the_noise_of_its_labels(asked):
    with RunStore.read(asked) as store:
        assert store.facts.label_noise == LabelNoise(images=359)
    state, epochs = train_first_batch(asked)
    assert (state.early_stopping.reason, state.early_stop_epoch, epochs) == ("noise", 3, {3})
    assert state.early_stopping.observed == pytest.approx((1, 1, 1))


def test_a_run_of_an_earlier_version_keeps_its_rule(asked):
    with RunStore.open(asked, None) as store:
        store.facts.label_noise = None  # as versions 0.1 and 0.2 left it
    state, epochs = train_first_batch(asked)
    assert (state.early_stopping.reason, state.early_stop_epoch, epochs) == ("reached", 1, {1})
    assert state.early_stopping.reliability == ()
    with RunStore.read(asked) as store:
        assert store.facts.label_noise is None
