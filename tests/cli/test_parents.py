"""The list of parents."""

import json

import pytest
import torch

from narsfast.arch import AvailableParent, zoo


@pytest.fixture
def known(monkeypatch):
    """Have three parents: one with a definition, one without, and one of a library that is not installed."""
    small = zoo()["mobilenetv3_small_050"]
    listed = [
        AvailableParent("small", "here", "a-package 1.0", small, 64, "Apache-2.0"),
        AvailableParent("torchvision:squeezenet1_1", "download", "https://x/y.pth", None, 64, None),
        AvailableParent("timm:gone", "install", "pip install -U timm", None, None, None),
    ]
    monkeypatch.setattr("narsfast.arch.available_parents", lambda: listed)


@pytest.mark.usefixtures("known")
def test_parents_as_json(run_narsfast):
    state = torch.get_rng_state()
    code, out, _ = run_narsfast("parents", "--json")
    assert code == 0
    small, whole, gone = json.loads(out)
    assert (small["reference"], small["state"], small["source"]) == ("small", "here", "a-package 1.0")
    assert (small["shrinks"], small["license"], small["params"]) == (True, "Apache-2.0", 1_593_224)
    assert 3e6 < small["macs"] < 4e6  # 24 M at its own 224 px
    assert (whole["shrinks"], whole["license"], whole["params"]) == (False, None, 1_235_496)
    assert (gone["macs"], gone["params"], gone["resolution"]) == (None, None, None)
    assert torch.get_rng_state().equal(state)


@pytest.mark.usefixtures("known")
def test_parents_as_a_table(run_narsfast):
    code, out, _ = run_narsfast("parents")
    assert code == 0
    for word in ("a-package 1.0", "1.6M", "not stated", "https://x/y.pth", "pip install -U timm", "shrinks"):
        assert word in out
