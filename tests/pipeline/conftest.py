"""What tests of the pipeline share."""

import json
from contextlib import contextmanager

import pytest
import torch

from narsfast.arch import Definition, create_model, save_weights
from narsfast.pipeline import _trials

DEFINITION = {
    "name": "small",
    "resolution": 32,
    "stem_channels": 16,
    "stages": [[[3, 1, 16, 1, 1, False]], [[3, 3, 16, 2, 2, True]], [[5, 3, 24, 2, 2, True]]],
    "head_expansion": 2,
    "head_features": None,
    "act": "relu6",
}


@pytest.fixture(scope="module", autouse=True)
def _without_onnx(without_onnx):
    """No test here looks at the ONNX files of networks."""


def _forget_finals(store, *, teacher=False):
    """Take a finished run back to before its final trainings."""
    with store._writing() as execute:
        execute("DELETE FROM trials WHERE purpose = 'final'")
        execute("DELETE FROM results")
    if teacher:
        store.facts.teacher = None


def _change_option(store, name, value):
    """Store another value of an option, as if the run had been made with it."""
    with store._writing() as execute:
        execute("UPDATE config SET value = ? WHERE key = ?", (value, name))


@pytest.fixture(scope="session")
def forget_finals():
    """Give the function above."""
    return _forget_finals


@pytest.fixture(scope="session")
def change_option():
    """Give the function above; it takes the value as JSON text."""
    return _change_option


@pytest.fixture(scope="session")
def parent(tmp_path_factory):
    """Write a small network with its weights, and return how it is named as a parent."""
    folder = tmp_path_factory.mktemp("parents")
    torch.manual_seed(0)
    (folder / "small.json").write_text(json.dumps(DEFINITION))
    save_weights(create_model(Definition.from_dict(DEFINITION), 7, 3), folder / "small.safetensors")
    return f"{folder / 'small.json'}={folder / 'small.safetensors'}"


@contextmanager
def _recorded():
    """Provide a list that gets the tasks that are trained."""
    tasks = []
    run_trials = _trials.run_trials

    def recording(executor, function, new, **options):
        tasks.extend(new)
        return run_trials(executor, function, new, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("narsfast.pipeline._trials.run_trials", recording)
        yield tasks


@pytest.fixture(scope="session")
def recorded():
    """Give the function above."""
    return _recorded


@pytest.fixture
def trained():
    """Record the tasks that are trained from now on."""
    with _recorded() as tasks:
        yield tasks


FACTORY = """
from torch import nn


def net(num_classes, in_chans):
    layers = [nn.Conv2d(in_chans, 64, 3, 2), nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(64, num_classes))
"""


@pytest.fixture(scope="session")
def own(tmp_path_factory):
    """Write a network that is no definition, with its weights, and return how it is named."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "nets.py").write_text(FACTORY)
    torch.manual_seed(0)
    save_weights(create_model(f"{folder / 'nets.py'}:net", 7, 3), folder / "net.safetensors")
    return f"{folder / 'nets.py'}:net={folder / 'net.safetensors'}"
