"""Commands of single stages hand on to the pipeline what they were given."""

import pytest

from narsfast import pipeline
from narsfast.common.trial import Trial


@pytest.fixture
def opened(monkeypatch):
    """With what runs were opened: run, options, workers."""
    seen = []

    class Search:
        def __init__(self, *arguments):
            seen.append(arguments[:3])

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(pipeline, "open_search", Search)
    return seen


def test_train_is_stage_4(run_narsfast, tmp_path, monkeypatch, opened):
    monkeypatch.setattr(pipeline, "train", lambda search: {"macs=1M": Trial("a" * 16, (50.0,), "ok", 1, 2.0)})
    code, out, _ = run_narsfast("train", tmp_path, "--workers", 2)
    assert code == 0
    assert opened == [(tmp_path, None, 2)]
    assert "macs=1M: validation 50.00 %" in out


def test_evolve_adds_budgets(run_narsfast, tmp_path, monkeypatch, opened):
    seen = []
    monkeypatch.setattr(pipeline, "evolve", lambda search, added: seen.extend(added) or [])
    assert (
        run_narsfast("evolve", tmp_path, "--budget", "macs=1M", "--budget", "macs=2M", "--json")[1] == "[]\n"
    )
    assert seen == ["macs=1M", "macs=2M"]
