"""The pool that a run keeps."""

import logging
import shutil

import numpy as np
import pytest

from narsfast import pipeline
from narsfast.pipeline import _search
from narsfast.pipeline._kept_pool import POOL_FILE


@pytest.fixture(scope="module", params=[True, False], ids=["explored", "steered"])
def run(request, smallest, tmp_path_factory):
    """Provide a run that has sampled its pool, its options, and the pool."""
    path = tmp_path_factory.mktemp("runs") / "run"
    options = {**smallest, "explore": request.param}
    with pipeline.open_search(path, options) as search:
        return path, options, search.pool


@pytest.fixture
def unsampled(monkeypatch):
    """Let nothing be sampled."""
    for name in ("sample_bands", "sample_pool"):
        monkeypatch.setattr(_search, name, lambda *_: pytest.fail("was sampled"))


def pool_of(path, options=None):
    with pipeline.open_search(path, options) as search:
        return search.pool


def assert_same(found, wanted):
    for name in ("genes", "statistics", "band"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
        assert getattr(found, name).dtype == getattr(wanted, name).dtype
    assert found.anchors == wanted.anchors


@pytest.mark.usefixtures("unsampled")
def test_a_run_that_goes_on_does_not_sample_it_again(run):
    assert_same(pool_of(run[0]), run[2])


def test_other_options_before_any_training_make_another_pool(run, tmp_path):
    shutil.copytree(run[0], tmp_path / "run")
    other = pool_of(tmp_path / "run", {**run[1], "seed": 6})
    assert not np.array_equal(other.genes, run[2].genes)
    assert_same(pool_of(tmp_path / "run", run[1]), run[2])


def changed(pool, **values):
    known = {name: getattr(pool, name) for name in ("genes", "statistics", "band", "anchors")}
    return known | values


DAMAGE = {
    "no file of numpy": lambda pool: None,
    "a gene that the space does not have": lambda pool: changed(pool, genes=pool.genes + np.int16(100)),
    "a negative gene": lambda pool: changed(pool, genes=pool.genes - np.int16(1)),
    "other types": lambda pool: changed(pool, genes=pool.genes.astype(np.int64)),
    "a column less": lambda pool: changed(pool, genes=pool.genes[:, 1:]),
    "fewer statistics": lambda pool: changed(pool, statistics=pool.statistics[1:]),
    "statistics of text": lambda pool: changed(pool, statistics=pool.statistics.astype(str)),
    "another shape of bands": lambda pool: changed(pool, band=pool.band[:5]),
    "too many anchors": lambda pool: changed(pool, anchors=np.array(10**6)),
    "part of it": lambda pool: {"genes": pool.genes},
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_sampled_again(run, damage, tmp_path, caplog):
    shutil.copytree(run[0], tmp_path / "run")
    file = tmp_path / "run" / POOL_FILE
    with np.load(file) as stored:
        made_of = stored["made_of"]
    arrays = DAMAGE[damage](run[2])
    if arrays is None:
        file.write_bytes(b"nothing of the kind")
    else:
        np.savez(file, made_of=made_of, **arrays)
    with caplog.at_level(logging.WARNING):
        assert_same(pool_of(tmp_path / "run"), run[2])
    assert f"{file} is damaged; the pool is sampled again" in caplog.text
    caplog.clear()
    assert_same(pool_of(tmp_path / "run"), run[2])
    assert caplog.text == ""
