"""The search finds the best of all candidates, where all can be scored."""

import pytest

from bench import search_optimum


@pytest.mark.parametrize("make", [search_optimum.macro, search_optimum.tiny])
def test_search_finds_the_best_of_all_candidates(make):
    rows = search_optimum.found(make(10_000), seeds=5)
    assert all(row["candidates"] <= 10_000 for row in rows)
    assert [row["found"] for row in rows] == [5] * len(rows)
