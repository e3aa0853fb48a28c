"""Optimizers of the user: one entry is all that a training needs."""

import pytest
import torch

from narsfast.arch import NetworkSpec
from narsfast.errors import UserError
from narsfast.runs import Processes, run_trials
from narsfast.space import Recipe, load_space, optimizer_info, optimizers
from narsfast.training import (
    TrainerSettings,
    TrialTask,
    build_optimizer,
    check_optimizers,
    effective_backend,
    register_optimizer,
    run_trial,
    train,
)
from narsfast.training import (
    _optimizers as builders,
)

pytestmark = pytest.mark.usefixtures("own_optimizers")

RECIPE = {
    "optimizer": "nadam",
    "learning_rate": 0.02,
    "batch_size": 32,
    "adamw_factor": 0.5,
    "ema_decay": 0.9,
}


def nadam(groups, lr, recipe):
    return torch.optim.NAdam(groups, lr=lr, betas=(recipe.momentum, recipe.beta2))


def register(**options):
    register_optimizer(
        "nadam",
        nadam,
        description="Adam with Nesterov momentum",
        reads=("momentum", "beta2"),
        rate_factor="adamw_factor",
        timm="nadam",
        **options,
    )


def test_every_optimizer_that_recipes_may_name_has_a_builder():
    assert {info.name for info in optimizers()} == builders._entries.keys()


def test_one_entry_makes_an_optimizer_that_recipes_name_and_trainings_use(small, few_digits):
    with pytest.raises(UserError, match=r"recipe.optimizer is 'nadam'; it must be"):
        Recipe.of(RECIPE)
    register()
    recipe = Recipe.of(RECIPE)
    built = build_optimizer(recipe, [torch.ones(3)], [torch.ones(2)])
    assert type(built) is torch.optim.NAdam
    assert [(group["lr"], group["weight_decay"]) for group in built.param_groups] == [
        (0.01, 1e-5),
        (0.01, 0.0),
    ]
    first, again = (
        train(NetworkSpec.of(small), recipe, few_digits, 2, 0, keep_network=True) for _ in range(2)
    )
    assert first.outcome == "ok"
    assert first.losses[1] < first.losses[0]
    assert first.losses == again.losses
    assert optimizer_info("nadam").timm.name == "nadam"


@pytest.mark.parametrize("backend", ["native", "torch", "apex"])
def test_registered_optimizer_is_usable_under_every_backend(backend):
    register()
    assert effective_backend("nadam", backend) == "torch"
    check_optimizers(["nadam"], backend)


def test_registered_optimizer_updates_the_average(small, few_digits):
    register()
    averaged, raw = (
        train(NetworkSpec.of(small), Recipe.of(RECIPE | {"ema": ema}), few_digits, 1, 0, keep_network=True)
        for ema in (True, False)
    )
    assert averaged.losses == raw.losses
    first, second = (next(training.network.parameters()) for training in (averaged, raw))
    assert not first.equal(second)


def test_only_lamb_of_the_built_in_ones_takes_whole_tensors():
    assert [name for name, entry in builders._entries.items() if entry.whole_tensors] == ["lamb"]


def test_optimizer_of_whole_tensors_gets_those_of_the_network(small, few_digits):
    shapes = []

    def recorded(groups, lr, recipe):
        shapes.extend(tensor.shape for group in groups for tensor in group["params"])
        return nadam(groups, lr, recipe)

    register_optimizer("whole", recorded, whole_tensors=True)
    trained = train(
        NetworkSpec.of(small), Recipe(optimizer="whole", batch_size=32), few_digits, 1, 0, keep_network=True
    )
    assert sorted(shapes) == sorted(parameter.shape for parameter in trained.network.parameters())


def test_killed_training_with_a_registered_optimizer_is_resumed_bit_for_bit(small, few_digits, tmp_path):
    class Killed(BaseException):
        pass

    def die(share):
        if share > 0.6:
            raise Killed

    register()
    recipe, file = Recipe.of(RECIPE), tmp_path / "checkpoint.pt"
    whole = train(NetworkSpec.of(small), recipe, few_digits, 2, 0)
    with pytest.raises(Killed):
        train(NetworkSpec.of(small), recipe, few_digits, 2, 0, checkpoint=file, report=die)
    assert file.exists()
    assert train(NetworkSpec.of(small), recipe, few_digits, 2, 0, checkpoint=file).losses == whole.losses


FILE = """
import torch
from narsfast.training import register_optimizer

def nadam(groups, lr, recipe):
    return torch.optim.NAdam(groups, lr=lr, betas=(recipe.momentum, recipe.beta2))

register_optimizer("nadam", nadam, reads=("momentum", "beta2"), rate_factor="adamw_factor")
"""


@pytest.mark.slow
def test_file_that_registers_an_optimizer_reaches_worker_processes(small, tmp_path):
    file = tmp_path / "own.py"
    file.write_text(FILE)
    space = load_space("tiny").to_dict()
    space["recipe"]["optimizer"] = f"{file}:nadam"
    name = type(load_space("tiny")).from_dict(space).values("optimizer")[0]
    task = TrialTask(
        candidate="0123456789abcdef",
        network=NetworkSpec.of(small),
        recipe=RECIPE | {"optimizer": name, "batch_size": 256},
        data="digits",
        epochs=1,
        schedule_epochs=1,
        seed=3,
        settings=TrainerSettings(device="cpu"),
    )
    with Processes(workers=1) as executor:
        (there,) = run_trials(executor, run_trial, [task])
    here = run_trial(task)
    assert there.outcome == "ok", there.message
    assert there.curve == here.curve


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("sgd", {}, "optimizer 'sgd' is built in; register yours by another name"),
        (
            "mine",
            {"reads": ("beta3",)},
            "optimizer 'mine' reads 'beta3'; it must be a field of a recipe: optimizer,",
        ),
        ("mine", {"decay_factor": "decay"}, "optimizer 'mine' reads 'decay'; it must be a field"),
    ],
)
def test_entry_that_cannot_be_one_is_refused_and_changes_nothing(name, options, said):
    before = dict(builders._entries), optimizers()
    with pytest.raises(UserError, match=said):
        register_optimizer(name, nadam, **options)
    assert (builders._entries, optimizers()) == before
