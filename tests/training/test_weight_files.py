import pytest
import torch
from safetensors import torch as safetensors_torch

from narsfast.arch import _weights, create, load_weights, save_weights
from narsfast.errors import UserError
from narsfast.training import FlatWeights


def build(small, classes=10, seed=0):
    torch.manual_seed(seed)
    return create(small, num_classes=classes, in_chans=1)


def test_round_trip_of_parameters_and_buffers(small, tmp_path):
    first, second = build(small), build(small, seed=1)
    first.train()(torch.rand(4, 1, 16, 16))  # moves the running statistics
    FlatWeights(first)
    save_weights(first, tmp_path / "w.safetensors")
    load_weights(second, tmp_path / "w.safetensors")
    for (name, a), b in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert a.equal(b), name


def test_crash_while_writing_leaves_the_old_file(small, tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    save_weights(build(small), path)
    before = path.read_bytes()

    def crash(state, file, metadata):
        file.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(_weights, "save_file", crash)
    with pytest.raises(OSError, match="disk full"):
        save_weights(build(small, seed=1), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_error_of_a_weights_file_names_it(small, tmp_path):
    network = build(small)
    with pytest.raises(UserError, match=r"none\.safetensors.*cannot be read"):
        load_weights(network, tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"1234567890")
    with pytest.raises(UserError, match=r"bad\.safetensors.*cannot be read"):
        load_weights(network, tmp_path / "bad.safetensors")
    save_weights(build(small, classes=7), tmp_path / "seven.safetensors")
    with pytest.raises(UserError, match=r"seven\.safetensors.*do not fit.*classifier"):
        load_weights(network, tmp_path / "seven.safetensors")


def test_weights_file_is_plain_safetensors(small, tmp_path):
    network = build(small)
    save_weights(network, tmp_path / "w.safetensors")
    assert safetensors_torch.load_file(tmp_path / "w.safetensors").keys() == network.state_dict().keys()
