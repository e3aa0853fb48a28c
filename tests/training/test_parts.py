"""Rates by depth, and parts that are frozen for a while: in real trainings, step by step."""

import copy

import pytest
import torch

from narsfast.arch import NetworkSpec, create_model
from narsfast.data import batches
from narsfast.errors import UserError
from narsfast.space import Recipe
from narsfast.training import TrainerSettings, layer_numbers, register_optimizer, train, train_network
from narsfast.training._parts import recipe_parts

RECIPE = Recipe(
    optimizer="sgd",
    learning_rate=0.01,
    batch_size=32,
    warmup_epochs=0,
    weight_decay=0.01,
    label_smoothing=0.0,
)
FILE = """
import torch
from torch import nn


def factory(num_classes, in_chans):
    return nn.Sequential(
        nn.Conv2d(in_chans, 8, 3, 2, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, 2, bias=False), nn.BatchNorm2d(8, affine=False, track_running_stats=False),
        nn.Flatten(), nn.LazyLinear(num_classes),
    )
"""


def changed(**values):
    return RECIPE.model_copy(update=values)


def watched(source, recipe, data, epochs, **settings):
    """Train, and return the states before the training and after each epoch, and the training."""
    states, seen = [], {}

    def build():
        network = create_model(source, 10, 1, dropout=recipe.dropout, drop_path=recipe.drop_path)
        network(torch.zeros(2, 1, 16, 16))  # lazy layers
        for parameter in network.parameters():
            if parameter.ndim == 1:
                torch.nn.init.uniform_(parameter, 0.5, 1.5)  # norms of scale 0 would keep layers still
        seen["network"] = network
        states.append(copy.deepcopy(network.state_dict()))
        return network

    def report(_):
        states.append(copy.deepcopy(seen["network"].state_dict()))

    training = train_network(
        build,
        16,
        recipe,
        data,
        epochs=epochs,
        seed=0,
        report=report,
        keep_network=True,
        settings=TrainerSettings(**settings),
    )
    return states, training


def layer_of(network, name):
    return layer_numbers(network)[name.rpartition(".")[0]]


def test_recipe_without_parts_trains_all_alike(small):
    network = create_model(small, 10, 1)
    assert recipe_parts(network, RECIPE) == {}
    assert {part.rate for part in recipe_parts(network, changed(frozen=0.5)).values()} == {1.0}


@pytest.mark.parametrize(
    "values", [{"layer_decay": 0.5}, {"head_factor": 4.0}, {"layer_decay": 0.7, "head_factor": 3.0}]
)
def test_first_step_is_as_large_as_the_rate_of_each_layer(small, few_digits, values):
    """One step of plain SGD: all weights see the same gradients."""
    one_step = changed(momentum=0.0, batch_size=160, ema=False)
    (before, alike), _ = watched(small, one_step, few_digits, 1)
    (again, apart), training = watched(small, one_step.model_copy(update=values), few_digits, 1)
    decay, factor = values.get("layer_decay", 1.0), values.get("head_factor", 1.0)
    for name, parameter in training.network.named_parameters():
        assert before[name].equal(again[name])
        distance = 6 - layer_of(training.network, name)
        rate = decay**distance if distance else factor
        torch.testing.assert_close(
            apart[name] - before[name], rate * (alike[name] - before[name]), rtol=2e-3, atol=3e-7
        )
        assert parameter.requires_grad


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        ({}, {}),
        ({"optimizer": "adamw"}, {"clip_norm": 0.5}),
        ({"optimizer": "rmsprop"}, {"optim_backend": "native"}),
        ({"optimizer": "rmsprop"}, {"optim_backend": "torch", "accumulate": 2}),
        ({"layer_decay": 0.8, "head_factor": 2.0, "mixup": 0.2}, {"precision": "bfloat16"}),
        ({"optimizer": "adamw", "ema": False}, {"precision": "float16", "ops": "torch"}),
    ],
)
@pytest.mark.filterwarnings("ignore:narsfast has no fused kernels")
def test_frozen_layers_stay_bit_for_bit_until_their_share_is_over(small, few_digits, recipe, settings):
    recipe = changed(frozen=0.6, frozen_until=0.5, **recipe)
    states, training = watched(small, recipe, few_digits, 4, **settings)
    tensors = {name: layer_of(training.network, name) < 3 for name in states[0]}
    assert 5 < sum(tensors.values()) < len(tensors)
    for name, frozen in tensors.items():
        same = [states[0][name].equal(state[name]) for state in states[1:]]
        if not name.endswith("project.1.bias"):  # norms after it leave it no gradient
            assert same == [frozen, frozen, False, False], name
        elif frozen:
            assert same[:2] == [True, True], name
    assert all(parameter.requires_grad for parameter in training.network.parameters())


@pytest.mark.parametrize("source", ["timm:test_efficientnet", "timm:test_resnet", "file"])
def test_frozen_networks_of_any_kind_train_their_classifier_alone(few_digits, tmp_path, source):
    if source == "file":
        (tmp_path / "own.py").write_text(FILE)
        source = f"{tmp_path / 'own.py'}:factory"
    states, training = watched(source, changed(frozen=1.0), few_digits, 2)
    moved = {name for name in states[0] if not states[0][name].equal(states[-1][name])}
    last = max(layer_numbers(training.network).values())
    assert moved == {
        name for name, _ in training.network.named_parameters() if layer_of(training.network, name) == last
    }
    # What is handed back, the average of the weights, has them unchanged too.
    kept = {name for name, tensor in training.network.state_dict().items() if tensor.equal(states[0][name])}
    assert kept == states[0].keys() - moved


def test_statistics_of_frozen_norms_move_where_the_recipe_says_so(small, few_digits):
    recipe = changed(frozen=1.0, keep_statistics=False)
    states, training = watched(small, recipe, few_digits, 1)
    parameters = {name for name, _ in training.network.named_parameters()}
    for name in states[0]:
        still = states[0][name].equal(states[1][name])
        assert still == (name in parameters and "classifier" not in name), name


def test_frozen_norms_normalize_by_their_statistics(small, few_digits):
    """... so that the same images have the same loss in training as in evaluation."""
    linear = changed(frozen=1.0, augmentation="none", batch_size=160, learning_rate=1e-9)
    _, training = watched(small, linear, few_digits, 1)
    images, labels = next(iter(batches(few_digits.train, 16, 160)))
    loss = torch.nn.functional.cross_entropy(training.network(images), labels)
    assert training.losses[0] == pytest.approx(loss.item(), rel=1e-5)
    _, other = watched(small, linear.model_copy(update={"keep_statistics": False}), few_digits, 1)
    assert abs(other.losses[0] - loss.item()) > 1e-4


def test_layers_thaw_in_the_middle_of_an_epoch(small, few_digits):
    """Of 2 epochs of 5 steps, 3 are frozen."""
    states, training = watched(small, changed(frozen=1.0, frozen_until=0.3), few_digits, 2)
    frozen = [name for name in states[0] if layer_of(training.network, name) < 6]
    assert not any(states[0][name].equal(states[1][name]) for name in frozen if not name.endswith("bias"))
    tracked = [state["stem.1.num_batches_tracked"].item() for state in states]
    assert [number - tracked[0] for number in tracked] == [0, 2, 7]


def test_frozen_training_that_is_stopped_early_is_a_prefix_of_the_long_one(small, few_digits):
    recipe = changed(frozen=0.8, frozen_until=0.5)
    options = {"seed": 0, "keep_network": False}
    whole = train(NetworkSpec.of(small), recipe, few_digits, 4, **options)
    part = train(NetworkSpec.of(small), recipe, few_digits, 3, schedule_epochs=4, **options)
    assert (part.curve, part.losses) == (whole.curve[:3], whole.losses[:3])


def test_fused_kernels_train_above_frozen_layers_as_torch_does(small, few_digits):
    recipe = changed(frozen=0.4, frozen_until=0.5, layer_decay=0.9)
    fused, plain = (watched(small, recipe, few_digits, 2, ops=ops)[1] for ops in ("fused", "torch"))
    assert fused.losses == pytest.approx(plain.losses, rel=1e-4)
    for name, tensor in fused.network.state_dict().items():
        torch.testing.assert_close(tensor, plain.network.state_dict()[name], rtol=2e-2, atol=2e-4, msg=name)


@pytest.mark.usefixtures("own_optimizers")
def test_registered_optimizer_that_joins_groups_is_refused_where_rates_differ(small, few_digits):
    def joined(groups, lr, recipe):
        return torch.optim.SGD([tensor for group in groups for tensor in group["params"]], lr=lr)

    register_optimizer("joined", joined)
    spec = NetworkSpec.of(small)
    assert train(spec, changed(optimizer="joined"), few_digits, 1, 0).outcome == "ok"
    with pytest.raises(
        UserError, match=r"optimizer 'joined' joins parameters of different learning rates.*layer_decay"
    ):
        train(spec, changed(optimizer="joined", layer_decay=0.5), few_digits, 1, 0)
