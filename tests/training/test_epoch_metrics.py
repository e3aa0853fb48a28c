"""What a training measures in each epoch beside the accuracy that counts."""

import pytest
import torch
from torch.nn import functional

from narsfast.arch import NetworkSpec
from narsfast.space import Recipe
from narsfast.training import TrialTask, _loop, evaluate, run_trial, train, train_network

RECIPE = Recipe(optimizer="sgd", learning_rate=0.02, batch_size=32, ema=True, ema_decay=0.9, mixup=0.2)
RAW = RECIPE.model_copy(update={"ema": False})


def run(small, data, recipe, epochs=2, **options):
    return train(NetworkSpec.of(small), recipe, data, epochs, 0, keep_network=True, **options)


@pytest.fixture(scope="module")
def averaged(small, few_digits):
    return run(small, few_digits, RECIPE)


@pytest.fixture(scope="module")
def raw(small, few_digits):
    return run(small, few_digits, RAW)


def test_cross_entropy_is_that_of_the_network_that_counts(averaged, raw, few_digits):
    for training in (averaged, raw):
        logits = evaluate(training.network, few_digits.val, 16).logits
        wanted = functional.cross_entropy(logits, torch.from_numpy(few_digits.val.labels))
        assert training.metrics.cross_entropy[-1] == pytest.approx(float(wanted), rel=1e-6)
        assert len(training.metrics.cross_entropy) == 2
    assert averaged.metrics.cross_entropy != raw.metrics.cross_entropy


def test_training_loss_is_the_mean_over_the_steps(averaged):
    assert averaged.metrics.training_loss == averaged.losses


def test_weights_that_are_not_averaged_are_evaluated_after_the_last_epoch(averaged, raw):
    assert averaged.metrics.ema_accuracy == averaged.curve
    assert averaged.metrics.raw_accuracy == (None, raw.curve[-1])


def test_without_an_average_the_curve_is_raw(raw):
    assert (raw.metrics.raw_accuracy, raw.metrics.ema_accuracy) == (raw.curve, ())


def test_evaluating_both_weights_changes_nothing_of_the_training(small, few_digits, averaged, monkeypatch):
    def first_alone(loop):
        with loop._average.applied():
            found = loop._evaluate()
        loop.curve.append(found.accuracy)
        loop.cross_entropies.append(None)

    monkeypatch.setattr(_loop.Loop, "validate", first_alone)
    alone = run(small, few_digits, RECIPE)
    assert (alone.curve, alone.losses) == (averaged.curve, averaged.losses)
    states = [training.network.state_dict() for training in (alone, averaged)]
    assert all(tensor.equal(states[1][name]) for name, tensor in states[0].items())


def test_a_training_that_diverged_keeps_what_its_epochs_measured(small, few_digits, monkeypatch):
    steps = []
    step = _loop.Loop._step

    def exploding(loop, images, labels, number):
        steps.append(number)
        return step(loop, images, labels, number) * (float("inf") if number >= 5 else 1.0)

    monkeypatch.setattr(_loop.Loop, "_step", exploding)
    training = run(small, few_digits, RECIPE, epochs=3)
    assert (training.outcome, len(training.curve)) == ("diverged", 1)
    assert (training.metrics.training_loss, len(training.metrics.cross_entropy)) == (training.losses[:1], 1)
    assert (training.metrics.ema_accuracy, training.metrics.raw_accuracy) == (training.curve, ())


class Infinite(torch.nn.Module):
    """Sure of everything, in evaluation."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(256, 10)

    def forward(self, x):
        return self.layer(x.flatten(1)) * (1.0 if self.training else float("inf"))


def test_cross_entropy_that_is_not_finite_is_unknown(few_digits):
    training = train_network(Infinite, 16, RAW, few_digits, epochs=1, seed=0)
    assert (training.outcome, training.metrics.cross_entropy) == ("ok", (None,))


def test_a_trial_has_the_metrics_of_its_training(small):
    task = TrialTask(
        candidate="0123456789abcdef",
        network=NetworkSpec.of(small),
        recipe={"batch_size": 256},
        data="digits",
        epochs=2,
        schedule_epochs=2,
        seed=3,
    )
    metrics = run_trial(task).metrics
    assert [len(metrics.training_loss), len(metrics.cross_entropy)] == [2, 2]
