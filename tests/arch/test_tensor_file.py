"""Files of weights from elsewhere: every form that is understood, and a sentence for every other one."""

import io
import logging
import os
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from narsfast.arch._tensor_file import read_tensor_file
from narsfast.errors import UserError

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "a.count": torch.tensor(7)}
WRAPPED = {f"module.{name}": tensor for name, tensor in STATE.items()}
OTHER = {name: tensor + 1 for name, tensor in STATE.items()}


class Code:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def same(found):
    return found.keys() == STATE.keys() and all(found[name].equal(STATE[name]) for name in STATE)


@pytest.mark.parametrize(
    ("saved", "told"),
    [
        (STATE, ()),
        ({"state_dict": STATE, "epoch": 3}, ("'state_dict'",)),
        ({"model": STATE, "optimizer": {"state": {}}}, ("'model'",)),
        ({"state_dict": WRAPPED}, ("'state_dict'", "'module.'")),
        ({"state_dict": {"model": STATE}}, ("'state_dict'", "'model'")),
        (
            {"model": OTHER, "model_ema": {**WRAPPED, "n_averaged": torch.tensor(5)}},
            ("'model_ema'", "'module.'"),
        ),
        ({f"_orig_mod.{name}": tensor for name, tensor in WRAPPED.items()}, ("'_orig_mod.'", "'module.'")),
    ],
)
def test_forms_of_training_scripts_are_understood_and_told(tmp_path, caplog, saved, told):
    file = tmp_path / "weights.pth"
    torch.save(saved, file)
    with caplog.at_level(logging.INFO, "narsfast.arch"):
        assert same(read_tensor_file(file).tensors)
    assert len(caplog.records) == len(told)
    assert all(word in caplog.text for word in told)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_become_float32(tmp_path, kind):
    save_file({"w": torch.tensor([0.5, 2.0], dtype=kind)}, tmp_path / "w.safetensors")
    (tensor,) = read_tensor_file(tmp_path / "w.safetensors").tensors.values()
    assert tensor.dtype == torch.float32
    assert tensor.tolist() == [0.5, 2.0]


def test_files_of_old_torch_are_read(tmp_path):
    torch.save(STATE, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert same(read_tensor_file(tmp_path / "old.pt").tensors)


def pickled(value):
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def legacy(value):
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def script():
    file = io.BytesIO()
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), file)
    return file.getvalue()


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.parametrize("kind", ["pickle", "state dict", "legacy", "network", "script"])
def test_code_in_a_file_is_refused_and_never_run(tmp_path, kind):
    made, file = tmp_path / "made", tmp_path / "weights.pth"
    code = Code(str(made))
    content = {
        "pickle": lambda: pickle.dumps(code, 2),
        "state dict": lambda: pickled({"state_dict": STATE, "args": code}),
        "legacy": lambda: legacy({"a": code}),
        "network": lambda: pickled(nn.Linear(2, 2)),
        "script": script,
    }[kind]()
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"weights '.*weights\.pth' hold code or objects beside tensors"):
        read_tensor_file(file)
    assert not made.exists()


@pytest.mark.parametrize("share", [0, 0.02, 0.5, 0.98])
@pytest.mark.parametrize("kind", ["w.safetensors", "w.pth", "old.pth", "page.pth", "page.safetensors"])
def test_cut_off_files_are_named_so(tmp_path, kind, share):
    state = {"w": torch.randn(1000)}
    save_file(state, tmp_path / "whole.safetensors")
    content = {
        "w.safetensors": (tmp_path / "whole.safetensors").read_bytes(),
        "w.pth": pickled(state),
        "old.pth": legacy(state),
    }.get(kind, b"<!DOCTYPE html><html>not found</html>" * 9)
    file = tmp_path / kind
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=r"are damaged or cut off \(.+\); fetch the file again"):
        read_tensor_file(file)


@pytest.mark.parametrize(
    ("saved", "said"),
    [
        ({}, "hold no tensor"),
        ([torch.zeros(2)], "hold list"),
        (torch.zeros(2), "hold Tensor"),
        ({"w": torch.zeros(2), "epoch": 3}, "are no state dict: 'epoch' is int, not a tensor"),
        ({"state_dict": {"w": "x"}}, "are no state dict: 'w' is str"),
        ({"w": torch.tensor([1.0, float("nan")])}, "are not finite: w has NaN or infinity"),
        ({"w": torch.tensor([1.0, float("inf")])}, "are not finite"),
    ],
)
def test_what_is_no_state_dict_is_said(tmp_path, saved, said):
    torch.save(saved, tmp_path / "w.pth")
    with pytest.raises(UserError, match=said):
        read_tensor_file(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.pth", r"cannot be read \(No such file or directory\)"),
        ("folder.pth", r"cannot be read \(Is a directory\)"),
        ("weights.onnx", "are of an unknown kind; give a .safetensors file or a state dict as .pth or .pt"),
        ("weights", "are of an unknown kind"),
    ],
)
def test_files_that_are_none_are_said(tmp_path, name, said):
    (tmp_path / "folder.pth").mkdir()
    with pytest.raises(UserError, match=said):
        read_tensor_file(tmp_path / name)
