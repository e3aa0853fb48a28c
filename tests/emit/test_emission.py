import hashlib
import json
import re

import pytest
import torch

from narsfast.arch import Definition, create
from narsfast.emit import _emission as emission_module
from narsfast.emit import emit, model_name
from narsfast.emit._markdown import as_text
from narsfast.space import Recipe

from .conftest import DEFINITION, RECIPE, measurements, shaken

FILES = (
    "README.md",  # first, as it lists the others
    "definition.json",
    "emission.json",
    "model.onnx",
    "preprocess.py",
    "preprocessing.json",
    "recipe.json",
    "timm_args.yaml",
    "timm_model.py",
    "weights.safetensors",
)


def read(emitted, name):
    return (emitted.emission.directory / name).read_text()


@pytest.mark.exports
def test_folder_has_exactly_the_listed_files(emitted):
    assert emitted.emission.files == FILES
    assert sorted(path.name for path in emitted.emission.directory.iterdir()) == list(FILES)


def test_all_files_have_the_same_mode(emitted):
    modes = {path.stat().st_mode for path in emitted.emission.directory.iterdir()}
    assert len(modes) == 1


def test_rows_of_tables_in_the_card_have_equal_columns(emitted):
    columns = 0
    for line in read(emitted, "README.md").splitlines():
        columns = 0 if not line.startswith("|") else columns or line.count("|")
        assert line.count("|") == columns, line


def test_definition_and_recipe_can_be_read(emitted):
    assert Definition.from_json(read(emitted, "definition.json")) == DEFINITION
    assert Recipe(**json.loads(read(emitted, "recipe.json"))) == RECIPE


def test_preprocessing_is_that_of_the_loader(emitted, digits):
    facts = json.loads(read(emitted, "preprocessing.json"))
    assert tuple(facts["classes"]) == digits.classes
    assert tuple(facts["mean"]) == digits.preprocess.mean
    assert tuple(facts["std"]) == digits.preprocess.std
    assert (facts["resolution"], facts["crop"], facts["resize"]) == (32, 1.0, 32)


@pytest.mark.exports
def test_manifest_has_measurements_and_correct_checksums(emitted):
    manifest = json.loads(read(emitted, "emission.json"))
    assert manifest["test"] == 96.94
    assert manifest["statistics"]["macs"] == 812345
    assert manifest["onnx"] == emitted.emission.onnx.to_dict()
    assert sorted(manifest["sha256"]) == [name for name in FILES if name != "emission.json"]
    for name, checksum in manifest["sha256"].items():
        content = (emitted.emission.directory / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == checksum, name


@pytest.mark.exports
def test_card_states_numbers_and_files(emitted, digits):
    card = read(emitted, "README.md")
    for text in ("macs<=1M", "91.25 %", "97.50 %", "96.94 %", "812,345", "34,567", "12 epochs", "seed 5"):
        assert text in card, text
    assert f"{len(digits.train)} train, {len(digits.val)} val, {len(digits.test)} test" in card
    assert f"all {len(digits.test)} test images" in card
    assert card.index("multiply-adds") < card.index("parameters") < card.index("peak activation memory")
    for name in FILES[1:]:
        assert name in card, name
    for name, value in RECIPE.model_dump().items():
        assert f"| {name} | {value} |" in card


def test_code_of_the_card_runs(emitted, tmp_path, monkeypatch):
    from PIL import Image

    code = re.search(r"```python\n(.*?)```", read(emitted, "README.md"), flags=re.S)[1]
    Image.new("RGB", (50, 40), "white").save(tmp_path / "photo.jpg")
    (tmp_path / "this").mkdir()
    (tmp_path / "this" / "folder").symlink_to(emitted.emission.directory)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    assert names["percent"].shape == (1, 10)
    assert float(names["percent"].sum()) == pytest.approx(100, abs=1e-3)


def test_emit_does_not_change_the_network(tmp_path, emitted):
    network = shaken(create(DEFINITION, num_classes=10, in_chans=1)).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    monkey = pytest.MonkeyPatch()
    monkey.setattr(emission_module, "export_and_check", lambda *_: emitted.emission.onnx)
    with monkey.context():
        emit(tmp_path / "a", network, RECIPE, emitted.facts, measurements())
    monkey.undo()
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_failure_leaves_no_folder(tmp_path, emitted, monkeypatch):
    def fail(*_):
        raise RuntimeError("disk full")

    monkeypatch.setattr(emission_module, "timm_arguments", lambda *_, **__: fail())
    monkeypatch.setattr(emission_module, "export_and_check", lambda *_: emitted.emission.onnx)
    with pytest.raises(RuntimeError, match="disk full"):
        emit(tmp_path / "a", emitted.network, RECIPE, emitted.facts, measurements())
    assert list(tmp_path.iterdir()) == []


def test_folder_without_onnx_states_the_reason(tmp_path, emitted, monkeypatch):
    monkeypatch.setattr("narsfast.emit._onnx.missing_packages", lambda: ("onnxscript",))
    emission = emit(tmp_path / "a", emitted.network, RECIPE, emitted.facts, measurements())
    assert emission.files == tuple(name for name in FILES if name != "model.onnx")
    assert emission.onnx.status == "skipped"
    assert "onnxscript" in emission.onnx.reason
    assert "narsfast[onnx]" in emission.onnx.reason
    assert as_text(emission.onnx.reason) in (tmp_path / "a" / "README.md").read_text()
    assert json.loads((tmp_path / "a" / "emission.json").read_text())["onnx"]["status"] == "skipped"


def test_model_name_is_an_identifier():
    assert model_name("My photos/v2 0123") == "narsfast_my_photos_v2_0123"
