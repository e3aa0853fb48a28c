"""The rivals of the search count and score as we do."""

import numpy as np
import pytest
import torch

from bench import search_speed
from bench.rivals.case import Case
from bench.rivals.nsga2 import is_installed, nsga2
from bench.rivals.per_candidate import per_candidate


@pytest.fixture(scope="module")
def case():
    return Case()


def test_rival_counts_and_scores_as_ours(case):
    search_speed.check(case)
    lower_tail = case.default.arrays.output_mean - case.default.arrays.output_scale
    scores = [case.exact(row) for row in case.pool.genes[:100]]
    assert min(scores) < lower_tail < max(scores)
    genes, num_scored = case.rival(case.default).run(
        torch.from_numpy(case.pool.genes).long(), population_size=50, generations=3
    )
    statistics = case.counter(genes.numpy().astype("int16"))
    assert num_scored == 50 + 2 * 50
    assert case.bound.within(statistics, case.counter.names).all()


def test_evaluate_takes_genes_that_are_not_canonical(case):
    rival = case.rival(case.default)
    genes = np.random.default_rng(0).integers(0, case.space.sizes, (50, len(case.space.fields)))
    canonical = case.space.canonical(genes.astype(np.int16))
    scores, macs = rival.evaluate(genes)
    assert (macs == case.counter(canonical)[:, 0]).all()
    assert scores[0] == pytest.approx(case.exact(canonical[0]), abs=1e-3)


@pytest.mark.skipif(not is_installed(), reason="pymoo is not installed")
def test_nsga2_evaluates_a_population_per_generation(case):
    assert nsga2(case.rival(case.default), population=10, generations=3) == 10 * 3


def test_per_candidate_scores_its_population_and_new_children(case):
    assert per_candidate(case.rival(case.default), population=8, generations=2) == 8 + 2 * (8 - 8 // 4)


@pytest.mark.long
def test_pool_memory_is_measured_in_a_fresh_process():
    assert 0 < search_speed.pool_memory(candidates=200_000) < 1000
