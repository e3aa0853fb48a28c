"""One of several processes that share a training, as test_process_group starts it: the jobs that are compared."""

import datetime
import pickle

import torch
from torch import distributed

from narsfast.arch import NetworkSpec
from narsfast.errors import UserError
from narsfast.space import Recipe
from narsfast.training import ProcessGroup, TrainerSettings, evaluate, train

RECIPE = Recipe(
    optimizer="sgd", learning_rate=2e-3, batch_size=32, warmup_epochs=0.5, mixup=0.3, ema_decay=0.5
)
JOBS = {
    "sgd": ({}, {}),
    "rmsprop": ({"optimizer": "rmsprop", "augmentation": "randaugment"}, {"clip_norm": 0.5}),
    "an odd batch": ({"batch_size": 35}, {}),
    "torch's modules": ({}, {"ops": "torch"}),
    "half precision": ({}, {"precision": "bfloat16"}),
    "frozen": ({"frozen": 0.7, "frozen_until": 0.5, "layer_decay": 0.8}, {}),
    "diverging": ({"learning_rate": 1e12}, {}),
}
"""By name: what is changed in the recipe, and the settings."""


class Killed(BaseException):
    pass


def job(name, definition, data, **options):
    """Train two epochs and return what is compared."""
    recipe, settings = JOBS[name]
    training = train(
        NetworkSpec.of(definition),
        RECIPE.model_copy(update=recipe),
        data,
        2,
        0,
        settings=TrainerSettings(**settings),
        keep_network=True,
        **options,
    )
    found = {"curve": training.curve, "losses": training.losses, "outcome": training.outcome}
    found["metrics"] = training.metrics
    if training.network is not None:
        found["modules"] = {type(module).__name__ for module in training.network.modules()}
        found["state"] = training.network.state_dict()
        found["logits"] = evaluate(training.network, data.test, definition.resolution).logits
        shared = evaluate(training.network, data.test, definition.resolution, group=ProcessGroup.current())
        found["share"] = shared.logits, shared.accuracy
    return found


def interrupted(definition, data, path):
    """Train twice with dropout, once killed after the first epoch and resumed; return both, and generator states."""
    options = {"settings": TrainerSettings(), "keep_network": True, "checkpoint": path}
    recipe = RECIPE.model_copy(update={"dropout": 0.5, "drop_path": 0.2})
    states = []
    whole = train(
        NetworkSpec.of(definition),
        recipe,
        data,
        3,
        0,
        report=lambda _: states.append(torch.get_rng_state()),
        **options,
    )

    def die(share):
        if share > 0.5:
            raise Killed

    try:
        train(NetworkSpec.of(definition), recipe, data, 3, 0, report=die, **options)
    except Killed:
        assert path.exists()
    again = train(NetworkSpec.of(definition), recipe, data, 3, 0, **options)
    return {
        "whole": (whole.curve, whole.losses, whole.network.state_dict()),
        "again": (again.curve, again.losses, again.network.state_dict()),
        "generator": states[-1],
    }


def main(rank, processes, folder):
    """Run every job as this rank; save the results in the folder."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        init_method=(folder / "meeting").as_uri(),
        rank=rank,
        world_size=processes,
        timeout=datetime.timedelta(seconds=30),
    )
    assert ProcessGroup.current() == ProcessGroup(rank, processes)
    definition, data = pickle.loads((folder / "inputs").read_bytes())
    found = {name: job(name, definition, data) for name in JOBS}
    found["interrupted"] = interrupted(definition, data, folder / "checkpoint.pt")
    try:
        train(NetworkSpec.of(definition), RECIPE.model_copy(update={"batch_size": 3}), data, 1, 0)
    except UserError as error:
        found["refused"] = str(error)
    (folder / f"{rank}.pickle").write_bytes(pickle.dumps(found))
    distributed.destroy_process_group()
