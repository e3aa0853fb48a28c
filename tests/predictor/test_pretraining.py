import numpy as np
import pytest
import torch

from narsfast.cost import STATISTICS, Counter, stage_params
from narsfast.errors import UserError
from narsfast.predictor import PretrainingReport, pretrain
from narsfast.predictor._inputs import Inputs
from narsfast.predictor._network import apply_layers
from narsfast.predictor._pretraining import ProxyTask
from narsfast.space import load_space


def test_statistics_are_learned(world):
    report = world.pretrained.pretraining
    stages = [f"params of stage {number + 1}" for number in range(world.space.stages)]
    assert [row.name for row in report.statistics] == [*STATISTICS, *stages]
    assert min(row.rank_correlation for row in report.statistics) > 0.9
    assert max(row.error for row in report.statistics) < 0.5


def test_a_fifth_is_held_out(world):
    report = world.pretrained.pretraining
    assert (report.trained, report.validated) == (480, 120)


def test_the_report_tells_the_error_on_new_candidates(world):
    """Candidates that pretraining never saw are estimated about as well as the report says."""
    predictor = world.pretrained
    inputs = Inputs.of(world.counter, predictor.scaling, world.space.random(400, seed=99))
    embedding = apply_layers(predictor.encoder, inputs.architecture, relu_last=True)
    estimate = apply_layers(predictor.proxy, embedding, relu_last=False).mean(dim=0)
    of_counter = len(STATISTICS)
    errors = (estimate[:, :of_counter] - inputs.statistics).square().mean(dim=0).sqrt()
    reported = [row.error for row in predictor.pretraining.statistics[:of_counter]]
    np.testing.assert_allclose(errors, reported, rtol=0.35)


def test_the_same_seed_gives_the_same_weights_whatever_the_threads(world, small):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        again = pretrain(world.counter, world.genes, seed=0, **small)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    for (w, b), (w2, b2) in zip(world.pretrained.encoder, again.encoder, strict=True):
        assert torch.equal(w, w2)
        assert torch.equal(b, b2)
    assert again.pretraining == world.pretrained.pretraining


def test_torch_s_own_generator_is_left_alone(world, fitted):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    world.pretrained.fit(world.genes[:8], world.labels[:8], seed=1)
    assert torch.equal(torch.rand(1), expected)


def test_constant_statistics_are_not_learned(small):
    """Only the head's features vary: the depth does not, and MACs do."""
    space = load_space("tiny")
    fixed = space.decode(space.random(1, seed=5))[0].architecture
    del fixed["head.features"]
    counter = Counter(space.fix(fixed))
    predictor = pretrain(counter, counter.space.random(40, seed=0), seed=0, **small)
    names = set(predictor.pretraining.to_dict())
    assert "macs" in names
    assert "depth" not in names
    assert predictor.proxy[0][0].shape[2] == len(names)


def test_stages_are_learned_beside_the_counter_s_statistics(world):
    task = ProxyTask.of(world.counter, world.genes)
    assert len(task.names) == len(STATISTICS) + world.space.stages
    np.testing.assert_allclose(task.targets.mean(dim=0), 0, atol=1e-5)
    np.testing.assert_allclose(task.targets.std(dim=0, correction=0), 1, rtol=1e-4)
    params = stage_params(world.space, world.genes)[:, 0]
    assert np.corrcoef(task.targets[:, len(STATISTICS)], np.log1p(params / params.mean()))[0, 1] > 0.9999


def test_a_counter_without_statistics_has_nothing_to_learn(world):
    class Nothing:
        names, space = (), world.space

        def __call__(self, genes):
            return np.zeros((len(genes), 0))

    assert ProxyTask.of(Nothing(), world.genes).names == ()


def test_without_an_architecture_there_is_no_encoder(recipe_only, small):
    predictor = pretrain(recipe_only, recipe_only.space.random(50, seed=0), seed=0, **small)
    assert predictor.encoder == ()
    assert predictor.proxy == ()
    assert predictor.pretraining == PretrainingReport()


def test_progress_reaches_the_end(recipe_only, world, small):
    told = []
    pretrain(world.counter, world.genes[:20], seed=0, progress=lambda *step: told.append(step), **small)
    stages, done, totals = zip(*told, strict=True)
    assert set(stages) == {"pretrain"}
    assert list(done) == sorted(done)
    assert done[-1] == totals[-1]


def test_report_round_trip(world):
    report = world.pretrained.pretraining
    assert PretrainingReport.from_dict(report.to_dict(), report.trained, report.validated) == report


@pytest.mark.parametrize(
    ("count", "sizes", "said"),
    [
        (4, {}, "4 candidates"),
        (20, {"members": 0}, "members"),
        (20, {"encoder": (8, 0)}, "encoder"),
        (20, {"head": (0,)}, "head"),
    ],
)
def test_refusals(world, count, sizes, said):
    with pytest.raises(UserError, match=said):
        pretrain(world.counter, world.genes[:count], seed=0, **sizes)
