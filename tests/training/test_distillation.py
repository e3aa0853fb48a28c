import dataclasses
import shutil

import numpy as np
import pytest
import torch

from narsfast.arch import NetworkSpec, create, create_model, save_weights
from narsfast.data import batches
from narsfast.errors import UserError
from narsfast.space import Recipe
from narsfast.training import Distillation, Teacher, TrialTask, distilled_loss, run_trial, train

RECIPE = Recipe(optimizer="sgd", learning_rate=0.01, batch_size=32, mixup=0.2)


def log_softmax(values):
    shifted = values - values.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def written_out(student, targets, teacher, *, smoothing, weight, temperature):
    """Return the loss by its documented formula, in numpy."""
    smoothed = targets * (1 - smoothing) + smoothing / targets.shape[1]
    hard = -(smoothed * log_softmax(student)).sum(axis=1).mean()
    p, q = log_softmax(teacher / temperature), log_softmax(student / temperature)
    divergence = (np.exp(p) * (p - q)).sum(axis=1).mean()
    return (1 - weight) * hard + weight * temperature**2 * divergence


@pytest.mark.parametrize("weight", [0.0, 0.8, 1.0])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_distilled_loss_equals_its_formula_in_numpy(weight, temperature):
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(0, 3, (2, 7, 5))
    targets = rng.dirichlet(np.ones(5), 7)
    found = distilled_loss(
        *map(torch.from_numpy, (student, targets, teacher)),
        label_smoothing=0.1,
        weight=weight,
        temperature=temperature,
    )
    expected = written_out(student, targets, teacher, smoothing=0.1, weight=weight, temperature=temperature)
    assert float(found) == pytest.approx(expected, rel=1e-9)


@pytest.fixture
def teacher(small, tmp_path):
    """Provide a teacher with its own weights in a file."""
    torch.manual_seed(1)
    network = create(small, num_classes=10, in_chans=1)
    save_weights(network, tmp_path / "weights.safetensors")
    return Distillation(str(tmp_path / "weights.safetensors"), NetworkSpec.of(small))


def test_teacher_of_weight_0_changes_nothing(small, few_digits, teacher):
    plain = train(NetworkSpec.of(small), RECIPE, few_digits, 1, 3)
    ignored = train(
        NetworkSpec.of(small),
        RECIPE,
        few_digits,
        1,
        3,
        teacher=Teacher(dataclasses.replace(teacher, weight=0.0), few_digits),
    )
    heard = train(NetworkSpec.of(small), RECIPE, few_digits, 1, 3, teacher=Teacher(teacher, few_digits))
    again = train(NetworkSpec.of(small), RECIPE, few_digits, 1, 3, teacher=Teacher(teacher, few_digits))
    assert (plain.losses, plain.curve) == (ignored.losses, ignored.curve)
    assert heard.losses != plain.losses
    assert (heard.losses, heard.curve) == (again.losses, again.curve)


def test_teacher_draws_no_random_numbers_and_never_changes(few_digits, teacher):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    asked = Teacher(teacher, few_digits)
    images, _ = next(batches(few_digits.train, 16, 32, training=True))
    first = asked.logits(images)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(asked.logits(images), first)  # no statistics of a batch, no dropout
    assert not first.requires_grad


def test_teacher_sees_images_at_its_own_resolution_and_normalization(few_digits, tmp_path):
    """Of images of one gray only, what it sees does not depend on the size: its normalization can be read off."""
    torch.manual_seed(0)
    network = create_model("torchvision:mobilenet_v3_small", 10, 1).eval()
    save_weights(network, tmp_path / "w.safetensors")
    told = Distillation(
        str(tmp_path / "w.safetensors"),
        NetworkSpec("torchvision:mobilenet_v3_small", 32),
        mean=(0.5,),
        std=(0.25,),
    )
    mean, std = (values[0] for values in (few_digits.preprocess.mean, few_digits.preprocess.std))
    gray = 0.7
    answer = Teacher(told, few_digits).logits(torch.full((2, 1, 16, 16), (gray - mean) / std))
    with torch.no_grad():
        expected = network(torch.full((2, 1, 32, 32), (gray - 0.5) / 0.25))
    assert torch.allclose(answer, expected, atol=1e-4)


def test_description_of_a_teacher_depends_on_its_weights_and_not_their_path(few_digits, teacher, tmp_path):
    said = Teacher(teacher, few_digits).describe()
    moved = tmp_path / "elsewhere.safetensors"
    shutil.copy(teacher.weights, moved)
    there = dataclasses.replace(teacher, weights=str(moved))
    assert Teacher(there, few_digits).describe() == said
    network = teacher.network.build(10, 1)
    save_weights(network, moved)
    assert Teacher(there, few_digits).describe() != said


def test_weights_of_another_network_are_refused(few_digits, teacher):
    wrong = dataclasses.replace(teacher, network=NetworkSpec("torchvision:mobilenet_v3_small", 32))
    with pytest.raises(UserError, match="do not fit the network"):
        Teacher(wrong, few_digits)


def test_trial_passes_the_teacher_to_its_training(small, teacher):
    task = TrialTask(
        candidate="0123456789abcdef",
        network=NetworkSpec.of(small),
        recipe=RECIPE.model_dump(mode="json"),
        data="digits",
        epochs=1,
        schedule_epochs=1,
        seed=3,
    )
    distilled = run_trial(dataclasses.replace(task, distillation=teacher))
    assert distilled.outcome == "ok"
    assert distilled.curve != run_trial(task).curve


def test_trial_trains_a_network_by_its_reference(few_digits, tmp_path):
    factory = tmp_path / "net.py"
    factory.write_text(
        "from torch import nn\n\n\ndef net(num_classes, in_chans):\n"
        "    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(in_chans * 16, num_classes))\n"
    )
    task = TrialTask(
        candidate="net",
        network=NetworkSpec(f"{factory}:net", 16),
        recipe={"optimizer": "sgd", "learning_rate": 0.05, "batch_size": 64},
        data="digits",
        epochs=2,
        schedule_epochs=2,
        seed=3,
        output=str(tmp_path / "out"),
        data_resolution=16,
    )
    trial = run_trial(task)
    assert trial.outcome == "ok", trial.message
    assert trial.curve[-1] > 50
    assert (tmp_path / "out" / "weights.safetensors").is_file()
