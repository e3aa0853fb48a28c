import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import narsfast
from narsfast.arch import NetworkSpec
from narsfast.data import batches, load_data
from narsfast.emit import OnnxCheck, describe_data, emit, load_transform, read_preprocessing
from narsfast.errors import UserError

from .conftest import RECIPE, measurements


@pytest.fixture
def folder(emitted, tmp_path):
    return shutil.copytree(emitted.emission.directory, tmp_path / "copy")


def test_load_gives_the_trained_network(emitted):
    loaded = narsfast.load(emitted.emission.directory)
    assert not loaded.training
    images, _ = emitted.batches[0]
    with torch.no_grad():
        assert torch.equal(loaded(images), emitted.network.eval()(images))
    for name, tensor in emitted.network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_load_is_deterministic(emitted):
    torch.manual_seed(1)
    first = narsfast.load(emitted.emission.directory).state_dict()
    second = narsfast.load(str(emitted.emission.directory)).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_transform_equals_the_loader(emitted, digits):
    transform = load_transform(emitted.emission.directory)
    images = digits.test.images.read(list(range(6)))
    transformed = torch.stack([transform(image) for image in images])
    loaded, _ = next(batches(digits.test, 32, 6))
    assert torch.allclose(transformed, loaded, atol=1e-5)


def test_transform_accepts_any_size_and_mode(folder):
    facts = json.loads((folder / "preprocessing.json").read_text())
    facts |= {"in_chans": 3, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.1], "crop": 0.5, "resolution": 16}
    (folder / "preprocessing.json").write_text(json.dumps(facts))
    image = Image.new("RGB", (80, 40), (255, 0, 0))
    image.paste((0, 255, 0), (30, 10, 50, 30))  # the centered square of half the shorter side
    result = load_transform(folder)(image.convert("RGBA"))
    assert result.shape == (3, 16, 16)
    expected = torch.tensor([-0.5 / 0.2, 0.6 / 0.2, -0.3 / 0.1]).view(3, 1, 1)
    inner = result[:, 1:-1, 1:-1]  # the filter of the resize reaches beyond the square by a pixel
    assert torch.allclose(inner, expected.expand(3, 14, 14), atol=1e-5)


@pytest.mark.parametrize("name", ["preprocessing.json", "definition.json", "weights.safetensors"])
def test_missing_file_is_refused_by_name(folder, name):
    (folder / name).unlink()
    with pytest.raises(UserError, match=name):
        narsfast.load(folder)


@pytest.mark.parametrize("name", ["preprocessing.json", "definition.json", "weights.safetensors"])
@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe\x00"])
def test_broken_file_is_refused_by_name(folder, name, content):
    (folder / name).write_bytes(content)
    for verify in (True, False):
        with pytest.raises(UserError) as error:
            narsfast.load(folder, verify=verify)
        assert name.partition(".")[0] in str(error.value)


def test_weights_of_another_network_are_refused(folder):
    facts = json.loads((folder / "preprocessing.json").read_text())
    facts["classes"] = facts["classes"][:7]
    (folder / "preprocessing.json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match=r"weights.safetensors.* do not fit"):
        narsfast.load(folder, verify=False)


def test_unknown_field_is_refused_by_name(folder):
    facts = json.loads((folder / "preprocessing.json").read_text()) | {"color": 1}
    (folder / "preprocessing.json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match="color"):
        read_preprocessing(folder)


def test_missing_folder_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match="nowhere is not a folder"):
        narsfast.load(tmp_path / "nowhere")


def test_operators_are_those_that_were_asked_for(folder):
    blocks = {ops: narsfast.load(folder, ops=ops).stages[1][0].depthwise for ops in ("fused", "torch")}
    assert {ops: block.ops for ops, block in blocks.items()} == {"fused": "fused", "torch": "torch"}
    with pytest.raises(UserError, match="ops is 'cuda'; it should be 'fused' or 'torch'"):
        narsfast.load(folder, ops="cuda")


@pytest.mark.parametrize("name", ["weights.safetensors", "definition.json", "preprocessing.json"])
def test_changed_file_is_refused_unless_that_is_intended(folder, name):
    content = bytearray((folder / name).read_bytes())
    if name.endswith(".json"):
        content = content.replace(b"\n", b" \n", 1)
    else:
        content[-3] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name} is not the file that was emitted: .*verify=False"):
        narsfast.load(folder)
    narsfast.load(folder, verify=False)
    (folder / "emission.json").unlink()
    narsfast.load(folder)


@pytest.mark.parametrize("content", ["[]", "null", "3", '"text"'])
def test_manifest_that_is_no_object_is_refused(folder, content):
    (folder / "emission.json").write_text(content)
    with pytest.raises(UserError, match=r"emission.json is broken: it is not a JSON object; emit again"):
        narsfast.load(folder)


NETS = """
from __future__ import annotations
from dataclasses import dataclass
from pathlib import Path
from torch import nn
{imports}

Path({marker!r}).write_text("ran")

@dataclass
class Options:
    width: int = 4

class Net(nn.Sequential):
    pass

def small(num_classes, in_chans):
    pooled = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return Net(nn.Conv2d(in_chans, Options().width, 3), *pooled, nn.Linear({width}, num_classes))
"""


@pytest.fixture(params=["alone", "with siblings"])
def of_a_factory(request, digits, tmp_path, monkeypatch):
    """Emit a network from a file that is then removed; return folder, network, and what the code writes when it runs."""
    monkeypatch.setattr(
        "narsfast.emit._emission.export_and_check", lambda *_: OnnxCheck("skipped", "it takes seconds")
    )
    source, marker = tmp_path / "source", tmp_path / "marker"
    source.mkdir()
    imports = "import model\nfrom parts import sizes" if request.param == "with siblings" else ""
    width = "sizes.WIDTH + model.ZERO" if imports else "4"
    (source / "nets.py").write_text(NETS.format(imports=imports, marker=str(marker), width=width))
    if imports:
        (source / "model.py").write_text("ZERO = 0\n")  # as the copy of a file alone is called
        (source / "parts").mkdir()
        (source / "parts" / "__init__.py").write_text("")
        (source / "parts" / "sizes.py").write_text("WIDTH = 4\n")
        (source / "unused.py").write_text("")
    spec = NetworkSpec(f"{source / 'nets.py'}:small", 16)
    network = spec.build(10, 1)
    emission = emit(tmp_path / "emitted", network, RECIPE, describe_data(digits), measurements(), given=spec)
    shutil.rmtree(source)
    marker.unlink()
    return emission, network, marker


def test_code_of_a_folder_runs_only_where_it_may(of_a_factory):
    emission, network, marker = of_a_factory
    code = next(name for name in emission.files if name in ("model.py", "code/nets.py"))
    with pytest.raises(UserError, match=rf"Python code in {code}, which loading would run; .*run_code=True"):
        narsfast.load(emission.directory)
    assert not marker.exists()
    loaded = narsfast.load(emission.directory, run_code=True)
    assert marker.exists()
    images = torch.randn(2, 1, 16, 16)
    with torch.no_grad():
        assert torch.equal(loaded(images), network.eval()(images))
    assert "run_code=True" in (emission.directory / "README.md").read_text()


def test_loaded_network_is_pickled(of_a_factory):
    emission, _, _ = of_a_factory
    loaded = narsfast.load(emission.directory, run_code=True)
    again = pickle.loads(pickle.dumps(loaded))
    assert type(again) is type(loaded)
    narsfast.load(emission.directory, run_code=True)
    assert type(pickle.loads(pickle.dumps(loaded))) is type(loaded)


def test_folder_has_all_code_and_its_hashes(of_a_factory):
    emission, _, _ = of_a_factory
    code = [name for name in emission.files if name.endswith(".py") and name != "preprocess.py"]
    assert code in (
        ["model.py"],
        ["code/model.py", "code/nets.py", "code/parts/__init__.py", "code/parts/sizes.py"],
    )
    listed = json.loads((emission.directory / "emission.json").read_text())["sha256"]
    assert set(code) <= set(listed)
    for name in code:
        path = emission.directory / name
        before = path.read_text()
        path.write_text(before + "# changed\n")
        with pytest.raises(UserError, match=f"{name} is not the file that was emitted"):
            narsfast.load(emission.directory, run_code=True)
        path.write_text(before)
    narsfast.load(emission.directory, run_code=True)


@pytest.mark.parametrize(
    "elsewhere", ["{folder}/evil.py", "../evil.py", "code/../../evil.py", "evil.py", "x/evil.py"]
)
def test_code_elsewhere_is_never_run(of_a_factory, elsewhere):
    emission, _, marker = of_a_factory
    path = emission.directory / "emission.json"
    evil = emission.directory.parent / "evil.py"
    evil.write_text(f"from pathlib import Path\nPath({str(marker)!r}).write_text('ran')\n")
    shutil.copy(evil, emission.directory)
    reference = elsewhere.format(folder=evil.parent) + ":small"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model": reference}))
    with pytest.raises(
        UserError, match=r"names the file '.*evil.py'; only model.py and files in code of the folder"
    ):
        narsfast.load(emission.directory, run_code=True)
    assert not marker.exists()


@pytest.mark.parametrize("reference", [3, ["model.py:small"], "model.py", ""])
def test_reference_that_is_none_is_refused(of_a_factory, reference):
    emission, _, _ = of_a_factory
    path = emission.directory / "emission.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model": reference}))
    with pytest.raises(UserError, match=r"emission.json is broken: model is"):
        narsfast.load(emission.directory, run_code=True)


@pytest.mark.parametrize("size", [(32, 32), (50, 40), (640, 333), (17, 300), (33, 9)])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_resized_photo_equals_that_of_the_loader(folder, tmp_path, size, mode):
    """A folder of photos of another size than the input, read from their files."""
    facts = json.loads((folder / "preprocessing.json").read_text())
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(8):
            pixels = rng.integers(0, 256, (size[1], size[0]) + (() if mode == "L" else (3,)), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    data = load_data(str(tmp_path / "photos"))
    preprocess = data.preprocess
    facts |= {"in_chans": data.in_chans, "mean": preprocess.mean, "std": preprocess.std, "resolution": 24}
    facts |= {"crop": preprocess.evaluation_crop, "classes": data.classes}
    (folder / "preprocessing.json").write_text(json.dumps(facts))
    transform = load_transform(folder)
    images = data.test.images.read(list(range(len(data.test))))
    loaded = torch.cat([images for images, _ in batches(data.test, 24, 4)])
    torch.testing.assert_close(torch.stack([transform(image) for image in images]), loaded, rtol=0, atol=1e-5)
