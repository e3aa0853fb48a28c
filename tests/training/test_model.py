import dataclasses

import torch

from narsfast.arch import NetworkSpec, create
from narsfast.data import shared_data
from narsfast.space import Recipe
from narsfast.training import TrainerSettings, TrialTask, evaluate, run_trial, train

RECIPE = Recipe(optimizer="sgd", learning_rate=0.01, batch_size=128, dropout=0.1, drop_path=0.1)


def test_file_of_a_definition_trains_as_the_definition(small, tmp_path):
    path = tmp_path / "own.json"
    path.write_text(small.to_json())
    data = shared_data("digits", small.resolution)
    settings = TrainerSettings(ops="torch")
    ours = train(NetworkSpec.of(small), RECIPE, data, 1, 3, settings=settings)
    theirs = train(NetworkSpec.of(str(path)), RECIPE, data, 1, 3, settings=settings)
    assert (theirs.curve, theirs.losses) == (ours.curve, ours.losses)


def test_task_of_a_referenced_network_is_trained_at_its_resolution(tmp_path):
    (tmp_path / "nets.py").write_text(
        "from torch import nn\n"
        "def flat(num_classes, in_chans):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(in_chans * 8 * 8, num_classes))\n"
    )
    task = TrialTask(
        candidate="0" * 16,
        network=NetworkSpec(f"{tmp_path / 'nets.py'}:flat", 8),
        recipe={"batch_size": 128, "dropout": 0.1},
        data="digits",
        epochs=1,
        schedule_epochs=1,
        seed=1,
        data_resolution=8,
    )
    trial = run_trial(task)
    assert (trial.outcome, len(trial.curve)) == ("ok", 1)
    wrong = run_trial(dataclasses.replace(task, network=NetworkSpec(task.network.source, 16)))
    assert wrong.outcome == "failed"
    assert "RuntimeError" in wrong.message


def test_network_has_the_ops_of_the_settings(small, tmp_path, monkeypatch):
    path = tmp_path / "own.json"
    path.write_text(small.to_json())
    data = shared_data("digits", small.resolution)
    kept = train(
        NetworkSpec.of(str(path)),
        RECIPE,
        data,
        1,
        0,
        settings=TrainerSettings(ops="torch"),
        keep_network=True,
    )
    ops = {module.ops for module in kept.network.modules() if hasattr(module, "ops")}
    assert ops == {"torch"}
    fresh = create(small, 10, 1)
    fresh.load_state_dict(kept.network.state_dict())
    assert evaluate(fresh, data.val, small.resolution).accuracy == kept.curve[-1]
    assert torch.get_num_threads() >= 1
