"""Who judges candidates in a run."""

import numpy as np
import pytest

from narsfast import pipeline
from narsfast.pipeline import _stages
from narsfast.pipeline._judge import caution_of, judge_of
from narsfast.predictor import Predictor, Surrogate

pytestmark = pytest.mark.usefixtures("always_few_steps")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, smallest):
    """Provide a steered run with a race, and the arguments of its evolution."""
    path = tmp_path_factory.mktemp("runs") / "run"
    asked, evolve = [], _stages.evolve_candidates

    def recording(judge, *rest, **options):
        asked.append((judge, options))
        return evolve(judge, *rest, **options)

    given = {
        **smallest,
        "explore": False,
        "finalists": 2,
        "trials_per_batch": 4,
        "iterations": 2,
        "final_epochs": 1,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_stages, "evolve_candidates", recording)
        pipeline.run(path, given, workers=1)
    return path, asked


def test_where_trainings_are_steered_process_and_network_judge(finished):
    path, ((judge, options),) = finished
    assert isinstance(judge, Surrogate)
    assert options == {"caution": 1.0}
    with pipeline.open_search(path, workers=1) as search:
        again = judge_of(search, pipeline.optimize(search))
        genes = search.pool.genes[:20]
        np.testing.assert_array_equal(again.scores(genes), judge.scores(genes))
        families = pipeline.evolve(search)
    for family in families:
        for found in family.candidates:  # means, not what evolution maximized
            genes = search.space.encode([found.candidate])
            mean, std = judge.predict(genes)
            assert found.predicted == pytest.approx(np.clip(mean[0], 0, 100))
            assert found.std == pytest.approx(std[0])


def test_later_batches_were_picked_by_both(finished):
    path, _ = finished
    with pipeline.open_search(path, workers=1) as search:
        first, second = search.store.batches()
        assert [picked.score for picked in first.candidates] == [None] * 4
        assert all(picked.score is not None for picked in second.candidates)


def test_elsewhere_the_network_judges_alone(tmp_path, smallest):
    with pipeline.open_search(tmp_path / "run", smallest, workers=1) as search:
        assert not search.steered
        assert caution_of(search) == 0
        assert isinstance(judge_of(search, pipeline.optimize(search)), Predictor)
