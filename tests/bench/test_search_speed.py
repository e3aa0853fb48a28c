"""The rival of the search counts and scores as we do."""

from bench import search_speed


def test_the_rival_agrees():
    case = search_speed.Case()
    search_speed.check(case)
    lower_tail = case.default.arrays.output_mean - case.default.arrays.output_scale
    scores = [case.exact(row) for row in case.pool.genes[:100]]
    assert min(scores) < lower_tail < max(scores)
    genes, handled = case.rival(case.default).run(
        search_speed.torch.from_numpy(case.pool.genes).long(), population_size=50, generations=3
    )
    statistics = case.counter(genes.numpy().astype("int16"))
    assert handled == 50 + 2 * 50
    assert case.bound.within(statistics, case.counter.names).all()
