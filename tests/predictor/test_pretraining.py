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


def test_statistics_and_parameters_of_stages_are_learned(world):
    report = world.pretrained.pretraining
    stages = [f"params of stage {number + 1}" for number in range(world.space.stages)]
    assert [row.name for row in report.statistics] == [*STATISTICS, *stages]
    assert min(row.rank_correlation for row in report.statistics) > 0.9
    assert max(row.error for row in report.statistics) < 0.5


def test_one_fifth_is_held_out(world):
    report = world.pretrained.pretraining
    assert (report.trained, report.validated) == (480, 120)


def test_reported_errors_are_those_on_new_candidates(world):
    """Candidates that were not part of pretraining are estimated about as well as reported."""
    predictor = world.pretrained
    inputs = Inputs.of(world.counter, predictor.scaling, world.space.random(400, seed=99))
    embedding = apply_layers(predictor.encoder, inputs.architecture, relu_last=True)
    estimate = apply_layers(predictor.proxy, embedding, relu_last=False).mean(dim=0)
    of_counter = len(STATISTICS)
    errors = (estimate[:, :of_counter] - inputs.statistics).square().mean(dim=0).sqrt()
    reported = [row.error for row in predictor.pretraining.statistics[:of_counter]]
    np.testing.assert_allclose(errors, reported, rtol=0.35)


def test_weights_depend_on_the_seed_and_not_on_threads(world, small):
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


def test_global_generator_of_torch_is_not_used(world, fitted):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    world.pretrained.fit(world.genes[:8], world.labels[:8], seed=1)
    assert torch.equal(torch.rand(1), expected)


def test_constant_statistics_are_not_targets(small):
    """If only the head's features vary, MACs vary and the depth does not."""
    space = load_space("tiny")
    fixed = space.decode(space.random(1, seed=5))[0].architecture
    del fixed["head.features"]
    counter = Counter(space.fix(fixed))
    predictor = pretrain(counter, counter.space.random(40, seed=0), seed=0, **small)
    names = set(predictor.pretraining.to_dict())
    assert "macs" in names
    assert "depth" not in names
    assert predictor.proxy[0][0].shape[2] == len(names)


def test_targets_are_standardized_statistics_and_stage_parameters(world):
    task = ProxyTask.of(world.counter, world.genes)
    assert len(task.names) == len(STATISTICS) + world.space.stages
    np.testing.assert_allclose(task.targets.mean(dim=0), 0, atol=1e-5)
    np.testing.assert_allclose(task.targets.std(dim=0, correction=0), 1, rtol=1e-4)
    params = stage_params(world.space, world.genes)[:, 0]
    assert np.corrcoef(task.targets[:, len(STATISTICS)], np.log1p(params / params.mean()))[0, 1] > 0.9999


def test_counter_without_statistics_has_no_targets(world):
    class Nothing:
        names, space = (), world.space

        def __call__(self, genes):
            return np.zeros((len(genes), 0))

    assert ProxyTask.of(Nothing(), world.genes).names == ()


def test_space_without_architecture_has_no_encoder(recipe_only, small):
    predictor = pretrain(recipe_only, recipe_only.space.random(50, seed=0), seed=0, **small)
    assert predictor.encoder == ()
    assert predictor.proxy == ()
    assert predictor.pretraining == PretrainingReport()


def test_progress_reaches_the_total(recipe_only, world, small):
    calls = []
    pretrain(world.counter, world.genes[:20], seed=0, progress=lambda *step: calls.append(step), **small)
    stages, done, totals = zip(*calls, strict=True)
    assert set(stages) == {"pretrain"}
    assert list(done) == sorted(done)
    assert done[-1] == totals[-1]


def test_report_survives_its_dict(world):
    report = world.pretrained.pretraining
    assert PretrainingReport.from_dict(report.to_dict(), report.trained, report.validated) == report


@pytest.mark.parametrize(
    ("count", "sizes", "message"),
    [
        (4, {}, "4 candidates"),
        (20, {"members": 0}, "members"),
        (20, {"encoder": (8, 0)}, "encoder"),
        (20, {"head": (0,)}, "head"),
    ],
)
def test_pretrain_refuses_wrong_arguments(world, count, sizes, message):
    with pytest.raises(UserError, match=message):
        pretrain(world.counter, world.genes[:count], seed=0, **sizes)
