"""Runs of earlier formats of the database: they are read as they are, and go on in the present format."""

import sqlite3

import pytest

from narsfast.common.trial import EpochMetrics, Trial
from narsfast.errors import UserError
from narsfast.runs import PickedCandidate, RunStore

CONFIG = {"seed": 1, "data": "digits"}


def as_format_2(path):
    """Make the database of a run what versions 0.1 and 0.2 wrote."""
    with sqlite3.connect(path / "run.db") as database:
        database.execute("ALTER TABLE trials DROP COLUMN metrics")
        database.execute("PRAGMA user_version = 2")


@pytest.fixture
def of_format_2(tmp_path):
    path = tmp_path / "old"
    with RunStore.open(path, CONFIG) as run:
        run.add_batch(0, 2, [PickedCandidate("a", (1,), {}, {}), PickedCandidate("b", (2,), {}, {})])
        run.add_trial(Trial("a", (1.0, 2.0), "ok", 2, 3.0), "search")
        run.add_trial(Trial("c", (4.0,), "ok", 1, 5.0), "final")
    as_format_2(path)
    return path


def format_of(path):
    with sqlite3.connect(path / "run.db") as database:
        return database.execute("PRAGMA user_version").fetchone()[0]


def test_a_run_of_the_earlier_format_is_read_as_it_is(of_format_2):
    with RunStore.read(of_format_2) as run:
        assert run.trials("search") == [Trial("a", (1.0, 2.0), "ok", 2, 3.0)]
        assert run.trials("final") == [Trial("c", (4.0,), "ok", 1, 5.0)]
    assert RunStore.stored_config(of_format_2) == CONFIG
    assert format_of(of_format_2) == 2


def test_a_run_of_the_earlier_format_goes_on_in_the_present_one(of_format_2):
    reader = RunStore.read(of_format_2)
    metrics = EpochMetrics(training_loss=(2.0, 1.5), cross_entropy=(1.9, None))
    added = Trial("b", (3.0, 4.0), "ok", 2, 3.0, metrics=metrics)
    with RunStore.open(of_format_2, None) as run:
        assert run.trials("search") == [Trial("a", (1.0, 2.0), "ok", 2, 3.0)]
        run.add_trial(Trial("a", (1.0, 2.0), "ok", 2, 3.0), "search")  # as it is stored
        run.add_trial(added, "search")
    assert reader.trials("search") == [Trial("a", (1.0, 2.0), "ok", 2, 3.0), added]
    reader.close()
    with RunStore.open(of_format_2, None) as run:
        assert run.trials("search")[1].metrics == metrics
    assert format_of(of_format_2) == 3


def test_a_run_of_the_earlier_format_with_another_configuration_is_left_as_it_is(of_format_2):
    with pytest.raises(UserError, match="another configuration"):
        RunStore.open(of_format_2, CONFIG | {"seed": 2})
    assert format_of(of_format_2) == 2


def test_metrics_of_another_length_than_the_curve_are_damage(tmp_path):
    with RunStore.open(tmp_path / "run", CONFIG) as run:
        run.add_trial(Trial("a", (1.0, 2.0), "ok", 2, 3.0), "search")
    with sqlite3.connect(tmp_path / "run" / "run.db") as database:
        database.execute("""UPDATE trials SET metrics = '{"cross_entropy":[1.0]}'""")
    with RunStore.read(tmp_path / "run") as run, pytest.raises(UserError, match=r"damaged.*cross_entropy"):
        run.trials("search")
