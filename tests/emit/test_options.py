"""A network whose definition names everything that it can: its folder is complete and loads again."""

import json
from pathlib import Path

import pytest
import torch

from narsfast.arch import Definition, create
from narsfast.data import batches
from narsfast.emit import block_notation, describe_data, emit, load

from .conftest import RECIPE, measurements, shaken

MIXED = Definition.from_dict(
    json.loads(Path("docs/definitions.md").read_text().split("```json")[2].split("```")[0])
)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, digits):
    """Emit a network with TensorFlow's padding, other activations and gates, and every kind of block."""
    definition = Definition.from_dict(
        MIXED.to_dict() | {"resolution": 32, "padding": "same", "se_gate": "sigmoid", "norm_eps": 0.001}
    )
    network = shaken(create(definition, num_classes=10, in_chans=1)).eval()
    test = list(batches(digits.test, 32, 128))
    folder = tmp_path_factory.mktemp("mixed") / "macs_1M"
    return (
        network,
        emit(folder, network, RECIPE, describe_data(digits), measurements(), test_batches=test),
        test,
    )


def test_folder_loads_the_same_network(mixed):
    network, emission, [(images, _), *_] = mixed
    loaded = load(emission.directory)
    assert loaded.definition == network.definition
    with torch.no_grad():
        torch.testing.assert_close(loaded(images), network(images))


def test_onnx_file_agrees(mixed):
    onnx = mixed[1].onnx
    assert onnx.status == "equal", onnx


def test_card_and_notation_name_the_blocks(mixed):
    network, emission, _ = mixed
    assert block_notation(network.definition) == [
        ["cn_r1_k3_s2_c24"],
        ["ir_r1_k5_s2_e3_c40_se0.25", "ir_r2_k5_s1_e3_c40_se0.25"],
        ["uir_r1_a3_k0_s2_e4_c80_nr6"],
        ["cn_r1_k1_s1_c480"],
    ]
    card = (emission.directory / "README.md").read_text()
    assert "squeeze-excite of the hidden channels), relu unless stated:" in card
    assert "head of\n640 features" in card
