"""What the tables of trainings on photos are made of."""

from collections import Counter

import numpy as np
import pytest

from bench.tabular import photo_table, photos
from bench.tabular.photo_table import KINDS, write_table


def test_jobs_are_as_many_as_said_and_mixed():
    wanted = photos.jobs(["clothing", "digits"], KINDS)
    assert len(set(wanted)) == len(wanted)
    counts = Counter((job.photos, job.kind) for job in wanted)
    assert counts["clothing", "main"] == 384
    assert counts["clothing", "repeats"] == 4 * 48
    assert counts["clothing", "long"] == 48
    assert counts["clothing", "parent"] == 128
    assert counts["digits", "main"] == 192
    assert ("digits", "parent") not in counts
    early = Counter((job.photos, job.kind) for job in wanted[: len(wanted) // 4])
    for place, count in early.items():
        assert abs(count - counts[place] / 4) <= 8


@pytest.mark.parametrize("name", ["clothing", "digits"])
def test_candidates_are_even_in_the_logarithm_of_their_cost(name):
    counter, genes = photos.counter_of(name, "main"), photos.candidates(name, "main")
    assert len(np.unique(genes, axis=0)) == len(genes) == photos.PHOTOS[name].main
    low, high = photos.PHOTOS[name].macs
    costs = np.log(counter(genes)[:, counter.names.index("macs")] / low) / np.log(high / low)
    assert abs(np.quantile(costs, [0.25, 0.5, 0.75]) - [0.25, 0.5, 0.75]).max() < 0.02
    half = costs[: len(costs) // 2]
    assert abs(half.mean() - 0.5) < 0.1  # in no order of cost


def test_each_split_holds_out_other_digits_of_every_class():
    first, held_out = photos.split_images("digits", 32, 997, 0)
    assert (len(first.train), len(first.val), len(held_out)) == (997, 800, 800)
    assert abs(np.bincount(first.val.labels) - 80).max() <= 3
    again = photos.split_images("digits", 32, 997, 0)[1]
    other = photos.split_images("digits", 32, 997, 1)[1]
    np.testing.assert_array_equal(held_out, again)
    assert 200 < len(np.intersect1d(held_out, other)) < 500


def test_one_training_says_what_each_photo_got(tmp_path):
    job = photos.Job("digits", "main", 3, 0)
    found = photos.settle(job, "digits", str(tmp_path), quick=True)
    assert found.right.shape == found.codes.shape == (2, 800)
    assert found.epochs == len(found.losses) == 2
    (tmp_path / "digits").mkdir()
    with (tmp_path / job.file).open("wb") as opened:
        found.save(opened)
    made = photos.table_of([job], tmp_path, tmp_path)
    assert len(made) == 1
    assert made.held_out.shape == (1, 800)
    assert set(made.candidates[0]) == {"architecture", "recipe"}
    np.testing.assert_array_equal(made.outcomes[0].right, found.right)


def test_a_making_goes_on_from_the_tables_and_from_their_candidates(tmp_path, monkeypatch):
    job = photos.Job("digits", "main", 3, 0)
    outcome = photos.settle(job, "digits", str(tmp_path), quick=True)
    (tmp_path / "digits").mkdir()
    with (tmp_path / job.file).open("wb") as opened:
        outcome.save(opened)
    table, drawn = photos.table_of([job], tmp_path, tmp_path), photos.candidates("digits", "main")
    assert (len(table.candidates), table.number.tolist()) == (len(drawn), [3])
    write_table(tmp_path / "digits-main.npz", table)
    monkeypatch.setattr(photos, "TABLES", tmp_path)
    for kept in (photos._begun, photos.candidates):
        kept.cache_clear()
    monkeypatch.setattr(photos, "sample_pool", None)  # nothing is drawn anew
    np.testing.assert_array_equal(photos.candidates("digits", "main"), drawn)
    (tmp_path / "new").mkdir()
    photos.restore([job], tmp_path / "new")
    again = photo_table.Outcome.load(tmp_path / "new" / job.file)
    np.testing.assert_array_equal(again.codes, outcome.codes)
    np.testing.assert_array_equal(again.right, outcome.right)
    for kept in (photos._begun, photos.candidates):
        kept.cache_clear()
