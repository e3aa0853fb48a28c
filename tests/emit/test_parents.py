"""Emitted folders as parents, and what the card of a network says of the parent that it inherited from."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from narsfast.arch import Family, Kept, NetworkSpec, create, create_model, kept, load_pretrained, parse_parent
from narsfast.common.preparation import Preparation
from narsfast.emit import describe_data, emit, load
from narsfast.errors import UserError

from .conftest import DEFINITION, RECIPE, measurements, shaken

NETWORKS = """
from pathlib import Path
from torch import nn

Path(__file__).with_name("ran").touch()


def net(num_classes, in_chans):
    return nn.Sequential(nn.Conv2d(in_chans, 4, 3), nn.Flatten(), nn.Linear(4 * 36, num_classes))
"""
PADDED = DEFINITION.model_copy(
    update={
        "stages": tuple(tuple(row._replace(padding=row.kernel - 1) for row in s) for s in DEFINITION.stages)
    }
)


@pytest.fixture(scope="module")
def emitted_network(tmp_path_factory, digits, without_onnx):
    """Provide a function that emits a network of the digits, and returns the folder."""
    facts = describe_data(digits.prepared(Preparation((0.3,), (0.4,), "bicubic", 0.9)))

    def make(network, name="macs 1M!", found=None, **options):
        folder = tmp_path_factory.mktemp("run") / name
        emit(folder, network, RECIPE, facts, found or measurements(), **options)
        return folder

    return make


def outputs(network, side=32):
    with torch.no_grad():
        return network.eval()(torch.randn(3, 1, side, side, generator=torch.Generator().manual_seed(0)))


@pytest.fixture(scope="module")
def folder(emitted_network):
    return emitted_network(shaken(create(DEFINITION, 10, 1)))


def test_found_network_is_a_parent(folder):
    parent = load_pretrained(str(folder))
    assert (parent.name, parent.reference) == ("macs_1m", str(folder))
    assert parse_parent(str(folder)).reference == str(folder)
    assert outputs(parent.network()).equal(outputs(load(folder)))
    assert (parent.num_classes, parent.in_chans, parent.resolution) == (10, 1, 32)
    assert parent.classes == tuple("0123456789")
    assert parent.preparation == Preparation((0.3,), (0.4,), "bicubic", 0.9)
    assert parent.provenance == "candidate 0123456789abcdef of narsfast, trained on digits"
    assert (
        json.loads((folder / "emission.json").read_text())["sha256"]["weights.safetensors"] == parent.sha256
    )


def test_padding_becomes_a_part_of_the_definition(emitted_network):
    network = shaken(create(PADDED, 10, 1, padding="half"))
    half = emitted_network(network, padding="half")
    assert outputs(load_pretrained(str(half)).network()).equal(outputs(load(half)))
    published = emitted_network(network)
    assert not outputs(load_pretrained(str(published)).network()).allclose(outputs(load(half)))


@pytest.mark.parametrize("name", ["weights.safetensors", "definition.json", "preprocessing.json"])
def test_another_file_than_was_emitted_is_refused(folder, tmp_path, name):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    path = copy / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(UserError, match=f"{name} is not the file that was emitted: its SHA-256 differs"):
        load_pretrained(str(copy))


@pytest.mark.parametrize("missing", ["weights.safetensors", "preprocessing.json", "emission.json"])
def test_folders_of_other_things_are_said(folder, tmp_path, missing):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / missing).unlink()
    with pytest.raises(UserError, match=missing):
        load_pretrained(str(copy))


def test_network_of_a_library_takes_part_whole(emitted_network):
    reference = "torchvision:squeezenet1_1"
    network = create_model(reference, 10, 1)
    folder = emitted_network(network, given=NetworkSpec(reference, 64))
    parent = load_pretrained(str(folder))
    assert (parent.definition, parent.source, parent.resolution) == (None, reference, 64)
    assert outputs(parent.network(), 64).equal(outputs(network, 64))


def test_code_of_a_folder_is_not_run(emitted_network, tmp_path):
    (tmp_path / "nets.py").write_text(NETWORKS)
    reference = f"{tmp_path / 'nets.py'}:net"
    network = create_model(reference, 10, 1)
    folder = emitted_network(network, given=NetworkSpec(reference, 8))
    with pytest.raises(
        UserError, match=r"is built by Python code \(model.py:net\), which loading would run"
    ) as error:
        load_pretrained(str(folder))
    assert not (folder / "ran").exists()
    trusted = parse_parent(str(error.value).rpartition(" give ")[2])
    parent = load_pretrained(trusted.reference, trusted.file)
    assert (folder / "ran").exists()
    assert outputs(parent.network(), 8).equal(outputs(network, 8))


def test_card_says_what_was_inherited(folder, emitted_network):
    facts = load_pretrained(str(folder)).facts() | {"license": "Apache-2.0"}
    own = Family(DEFINITION).child({"stage2.depth": 1, "stage3.hidden": 50})
    found = replace(measurements(), parent=facts, kept=kept("macs_1m", DEFINITION, own))
    child = emitted_network(create(own, 10, 1), found=found, name="child")
    emission = json.loads((child / "emission.json").read_text())
    assert emission["parent"] == facts
    assert Kept.from_dict(emission["kept"]) == found.kept
    card = " ".join((child / "README.md").read_text().split())
    assert "weights of the pretrained network `macs_1m` (candidate 0123456789abcdef of narsfast" in card
    assert f"license: Apache-2.0; SHA-256 `{facts['sha256']}`" in card
    assert "| stage2 | 1 of 3 | all 16 | all 32 | all 5 |" in card
    assert "Trained from weights of `macs_1m`, with a new classifier, for 12 epochs" in card
    assert not {"parent", "kept"} & json.loads((folder / "emission.json").read_text()).keys()
    assert "pretrained" not in (folder / "README.md").read_text()
