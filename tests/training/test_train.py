import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from narsfast.arch import NetworkSpec, create
from narsfast.data import load_data
from narsfast.errors import UserError
from narsfast.space import Recipe
from narsfast.training import TrainerSettings, _loop, evaluate, learning_rate, train, train_network

PLAIN = Recipe(
    optimizer="sgd",
    learning_rate=0.02,
    batch_size=32,
    warmup_epochs=0,
    weight_decay=0.0,
    label_smoothing=0.0,
    ema=False,
    augmentation="none",
)


def changed(**values):
    return PLAIN.model_copy(update=values)


def weights(training):
    return torch.cat([p.detach().flatten() for p in training.network.parameters()])


def run(small, data, recipe=PLAIN, epochs=1, seed=0, **options):
    return train(NetworkSpec.of(small), recipe, data, epochs, seed, keep_network=True, **options)


def test_training_learns_the_digits(small):
    result = train(NetworkSpec.of(small), changed(learning_rate=0.1, ema=True), load_data("digits"), 4, 0)
    assert result.outcome == "ok"
    assert len(result.curve) == len(result.losses) == 4
    assert result.losses[-1] < 0.7 * result.losses[0]
    assert result.curve[-1] > 50
    assert result.seconds > 0


@pytest.mark.parametrize("optimizer", ["rmsprop", "sgd", "adamw"])
def test_same_seed_gives_the_same_weights_whatever_the_global_state(small, few_digits, optimizer):
    recipe = Recipe(
        optimizer=optimizer,
        mixup=0.2,
        cutmix=1.0,
        dropout=0.2,
        drop_path=0.2,
        batch_size=32,
        augmentation="trivialaugment",
        color=0.2,
        erasing=0.25,
    )
    torch.manual_seed(1)
    np.random.seed(1)
    first = run(small, few_digits, recipe, 2)
    torch.manual_seed(2)
    np.random.seed(2)
    state = torch.get_rng_state()
    again = run(small, few_digits, recipe, 2)
    assert torch.get_rng_state().equal(state)
    assert first.curve == again.curve
    assert first.losses == again.losses
    assert weights(first).equal(weights(again))
    assert not weights(run(small, few_digits, recipe, 2, seed=1)).equal(weights(first))


@pytest.mark.parametrize(
    "values",
    [
        {"optimizer": "rmsprop"},
        {"learning_rate": 0.01},
        {"sgd_factor": 2.0},
        {"momentum": 0.8},
        {"weight_decay": 0.01},
        {"batch_size": 16},
        {"warmup_epochs": 1.0},
        {"lr_final": 0.5},
        {"mixup": 0.2},
        {"dropout": 0.2},
        {"drop_path": 0.3},
        {"label_smoothing": 0.1},
        {"ema": True},
        {"augmentation": "crop"},
        {"augmentation": "randaugment"},
        {"augmentation": "autoaugment"},
        {"augmentation": "trivialaugment"},
        {"optimizer": "adamw"},
        {"epochs_share": 0.6},
        {"cutmix": 1.0},
        {"color": 0.4},
        {"erasing": 0.5},
        {"train_resolution": 0.5},
    ],
)
def test_every_field_of_the_recipe_changes_the_training(small, few_digits, values):
    assert not weights(run(small, few_digits, changed(**values))).equal(weights(run(small, few_digits)))


@pytest.mark.parametrize(
    ("base", "values"),
    [
        ({"optimizer": "adamw"}, {"adamw_factor": 0.1}),
        ({"optimizer": "adamw"}, {"momentum": 0.5}),
        ({"optimizer": "adamw"}, {"beta2": 0.9}),
        ({"optimizer": "adamw", "weight_decay": 1e-3}, {"adamw_decay_factor": 100.0}),
        ({"augmentation": "randaugment"}, {"augmentation_strength": 20}),
        ({"augmentation": "trivialaugment"}, {"augmentation_strength": 10}),
    ],
)
def test_dependent_field_of_the_recipe_changes_the_training(small, few_digits, base, values):
    first, second = (run(small, few_digits, changed(**base, **more)) for more in ({}, values))
    assert not weights(first).equal(weights(second))


def watched(small, seen):
    """Build a network that records the sizes of its inputs: (training, images, side)."""
    network = create(small, num_classes=10, in_chans=1, dropout=0.0, drop_path=0.0)
    network.register_forward_pre_hook(
        lambda module, given: seen.append((module.training, len(given[0]), given[0].shape[-1]))
    )
    return network


def test_training_images_may_be_smaller_than_those_of_evaluation(small, few_digits):
    seen = []
    recipe = changed(train_resolution=0.75)
    train_network(lambda: watched(small, seen), 32, recipe, few_digits, epochs=1, seed=0)
    assert {side for training, _, side in seen if training} == {24}
    assert {side for training, _, side in seen if not training} == {32}


@pytest.mark.parametrize(("share", "steps"), [(1.0, 5), (0.5, 3), (0.01, 1)])
def test_epochs_share_shortens_each_epoch(small, few_digits, share, steps):
    seen, shares = [], []
    result = train_network(
        lambda: watched(small, seen),
        16,
        changed(epochs_share=share),
        few_digits,
        epochs=3,
        seed=0,
        report=shares.append,
    )
    assert sum(training for training, _, _ in seen) == 3 * steps
    assert len(result.curve) == 3
    assert shares[-1] == 1


def test_shortened_training_completes_its_schedule(small, few_digits, monkeypatch):
    rates = []

    def recording(recipe, step, steps, schedule_epochs):
        rates.append(learning_rate(recipe, step, steps, schedule_epochs))
        return rates[-1]

    monkeypatch.setattr(_loop, "learning_rate", recording)
    recipe = changed(epochs_share=0.4, lr_final=0.01, learning_rate=0.01, sgd_factor=1.0)
    run(small, few_digits, recipe, epochs=4)
    assert len(rates) == 4 * 2  # epochs, steps
    assert rates[-1] == pytest.approx(0.01 * 0.01 ** (7 / 8))


def test_ema_decay_changes_the_weights(small, few_digits):
    first, second = (run(small, few_digits, changed(ema=True, ema_decay=d)) for d in (0.05, 0.15))
    assert not weights(first).equal(weights(second))
    nothing = run(small, few_digits, changed(ema=True, ema_decay=0.0))
    torch.testing.assert_close(weights(nothing), weights(run(small, few_digits)))


def test_both_backends_of_the_optimizer_train_alike(small, few_digits):
    """A few steps: rounding grows with them."""
    recipe = changed(optimizer="rmsprop", learning_rate=1e-3, weight_decay=1e-3, ema=True)
    native, plain = (
        run(small, few_digits, recipe, settings=TrainerSettings(optim_backend=backend))
        for backend in ("native", "torch")
    )
    torch.testing.assert_close(weights(native), weights(plain), rtol=1e-3, atol=1e-4)
    assert native.losses == pytest.approx(plain.losses, rel=1e-4)
    assert not weights(native).equal(weights(plain))
    assert weights(native).equal(weights(run(small, few_digits, recipe)))


def test_ema_does_not_change_the_training_itself(small, few_digits):
    with_ema, without = (run(small, few_digits, changed(ema=ema), 2) for ema in (True, False))
    assert with_ema.losses == without.losses
    assert not weights(with_ema).equal(weights(without))


def test_returned_network_is_the_one_evaluated(small, few_digits):
    for ema in (True, False):
        result = run(small, few_digits, changed(ema=ema), 2)
        assert not result.network.training
        assert evaluate(result.network, few_digits.val, 16).accuracy == result.curve[-1]
        storages = [p.untyped_storage().data_ptr() for p in result.network.parameters()]
        assert len(set(storages)) == len(storages)


def test_curve_is_of_the_validation_split(small, few_digits, monkeypatch):
    seen = []

    def recording(network, split, resolution, **options):
        seen.append(split)
        return evaluate(network, split, resolution, **options)

    monkeypatch.setattr("narsfast.training._loop.evaluate", recording)
    for ema in (True, False):
        run(small, few_digits, changed(ema=ema), 2)
    assert len(seen) == 5  # both kinds of weights after the last epoch
    assert all(split is few_digits.val for split in seen)


def test_curve_is_of_the_averaged_weights(small, few_digits):
    """The training without an average goes through the same raw weights and sees another curve."""
    averaged, raw = (run(small, few_digits, changed(ema=ema, learning_rate=0.1), 4) for ema in (True, False))
    assert averaged.losses == raw.losses
    assert averaged.curve != raw.curve
    assert evaluate(averaged.network, few_digits.val, 16).accuracy == averaged.curve[-1]
    assert evaluate(raw.network, few_digits.val, 16).accuracy == raw.curve[-1]


def test_label_smoothing_is_in_the_loss(few_digits):
    class Constant(nn.Module):
        """Logits 2 for class 0 and 0 for the others."""

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1, 1))
            self.register_buffer("state", torch.zeros(1))

        def forward(self, x):
            return 2 * functional.one_hot(torch.zeros(len(x), dtype=torch.int64), 10) + 0 * self.weight

    train_split = dataclasses.replace(few_digits.train, labels=np.zeros(160, dtype=np.int64))
    data = dataclasses.replace(few_digits, train=train_split)
    right, wrong = math.log(math.exp(2) + 9) - 2, math.log(math.exp(2) + 9)
    for smoothing in (0.0, 0.3):
        recipe = changed(label_smoothing=smoothing)
        result = train_network(Constant, 16, recipe, data, epochs=1, seed=0)
        expected = (1 - smoothing) * right + smoothing * (0.1 * right + 0.9 * wrong)
        assert result.losses[0] == pytest.approx(expected, rel=1e-5)


def test_training_stopped_early_is_a_prefix_of_the_long_one(small, few_digits):
    whole = run(small, few_digits, epochs=4)
    prefix = run(small, few_digits, epochs=2, schedule_epochs=4)
    assert prefix.curve == whole.curve[:2]
    assert prefix.losses == whole.losses[:2]
    assert run(small, few_digits, epochs=2).losses != prefix.losses


def test_dropout_and_drop_path_reach_the_network(small, few_digits):
    seen = {}

    def build():
        network = create(small, num_classes=10, in_chans=1, dropout=0.25, drop_path=0.3)
        seen["network"] = network
        return network

    direct = train_network(
        build, 16, changed(dropout=0.25, drop_path=0.3), few_digits, epochs=1, seed=0, keep_network=True
    )
    assert weights(direct).equal(weights(run(small, few_digits, changed(dropout=0.25, drop_path=0.3))))
    rates = [m.p for m in seen["network"].modules() if type(m).__name__ in ("Dropout", "StochasticDepth")]
    assert 0.25 in rates
    assert 0.3 in rates


def test_drop_path_drops_whole_samples_at_its_rate(small):
    torch.manual_seed(0)
    network = create(small, num_classes=10, in_chans=1, dropout=0.0, drop_path=0.4)
    (*_, path) = (m for m in network.modules() if type(m).__name__ == "StochasticDepth")
    path.train()
    kept = path(torch.ones(4000, 2, 3, 3))
    per_sample = kept.flatten(1)
    assert (per_sample == per_sample[:, :1]).all()
    assert abs((per_sample[:, 0] == 0).float().mean() - 0.4) < 0.03
    assert abs(float(kept.mean()) - 1) < 0.05
    assert path.eval()(torch.ones(2, 1)).equal(torch.ones(2, 1))


@pytest.mark.parametrize("optimizer", ["rmsprop", "sgd"])
def test_divergence_is_an_outcome(small, few_digits, optimizer):
    result = run(small, few_digits, changed(optimizer=optimizer, learning_rate=1e12), 3)
    assert result.outcome == "diverged"
    assert len(result.curve) < 3
    assert result.network is None
    assert "loss" in result.message
    assert "epoch" in result.message


def test_loss_far_above_a_guess_for_long_is_divergence(few_digits):
    class Confused(nn.Module):
        """Finite, and confidently wrong whatever it learns."""

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1, 1))
            self.register_buffer("state", torch.zeros(1))

        def forward(self, x):
            logits = torch.zeros(len(x), 10)
            logits[:, 0] = 20
            return logits + 0 * self.weight

    result = train_network(Confused, 16, PLAIN, few_digits, epochs=6, seed=0)
    assert result.outcome == "diverged"
    assert len(result.curve) == 2
    assert "stays above 4.61" in result.message
    assert "epoch 3" in result.message


def test_reported_progress_rises_to_1(small, few_digits):
    shares = []
    run(small, few_digits, epochs=3, report=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len(shares) >= 3


def test_epochs_beyond_the_schedule_are_refused(small, few_digits):
    with pytest.raises(UserError, match="epochs is 5; it must lie between 1 and the schedule's 4"):
        train(NetworkSpec.of(small), PLAIN, few_digits, 5, 0, schedule_epochs=4)


def test_threads_are_those_of_the_settings_and_restored(small, few_digits):
    before = torch.get_num_threads()
    seen = []
    run(
        small,
        few_digits,
        settings=TrainerSettings(threads_per_trial=before + 1),
        report=lambda _: seen.append(torch.get_num_threads()),
    )
    assert set(seen) == {before + 1}
    assert torch.get_num_threads() == before
