"""Spaces and published networks as lists."""

import json

from narsfast.space import load_space


def test_zoo_as_json(run_narsfast):
    code, out, _ = run_narsfast("zoo", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0
    assert list(rows)[:8] == [f"FBNetV3_{name}" for name in ("A0", "A", "B", "C", "D", "E", "F", "G")]
    assert rows["mobilenet_v2"]["params_all"] == 3_504_872
    assert rows["FBNetV3_G"] == {
        "name": "FBNetV3_G",
        "resolution": 320,
        "conv_macs": 2_125_187_200,
        "flops_published": 2_129_656_384,
        "params_all": 16_623_888,
        "params_published": 16_513_648,
    }
    assert "2,125,187,200" in run_narsfast("zoo")[1]


def test_space_shows_its_fields_and_size(run_narsfast):
    _, out, _ = run_narsfast("space", "tiny", "--json")
    whole = json.loads(out)
    _, out, _ = run_narsfast("space", "tiny", "--fix", "optimizer=sgd", "--json")
    assert json.loads(out)["size"] * 2 == whole["size"]
    assert str(whole["size"]) in run_narsfast("space", "tiny")[1]
    _, out, _ = run_narsfast("space", "tiny", "--recipe-space", "extended", "--fix", "cutmix=0.5", "--json")
    wide = json.loads(out)["space"]["recipe"]
    assert wide["optimizer"] == {"choices": ["rmsprop", "sgd", "adamw"]}
    assert wide["cutmix"] == 0.5


def test_spaces_are_listed_without_a_name(run_narsfast):
    code, out, _ = run_narsfast("space", "--json")
    listed = json.loads(out)
    assert code == 0
    assert [row["name"] for row in listed["spaces"]] == ["fbnetv3", "mobile", "tiny"]
    assert listed["spaces"][-1]["size"] == load_space("tiny").size()
    assert listed["recipe_spaces"] == ["extended", "paper"]
    _, out, _ = run_narsfast("space")
    for word in ("fbnetv3", "--recipe-space", "extended", "narsfast zoo"):
        assert word in out


def test_fields_are_fixed_in_a_named_space_only(run_narsfast):
    code, _, err = run_narsfast("space", "--fix", "ema=true")
    assert code == 1
    assert err == "narsfast: --fix is given without a space; name one, as in narsfast space tiny\n"
