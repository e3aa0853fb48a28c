import json
import shutil

import pytest
import torch
from PIL import Image

import narsfast
from narsfast.data import batches
from narsfast.emit import load_transform, read_preprocessing
from narsfast.errors import UserError


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
    with pytest.raises(UserError) as error:
        narsfast.load(folder)
    assert name.partition(".")[0] in str(error.value)


def test_weights_of_another_network_are_refused(folder):
    facts = json.loads((folder / "preprocessing.json").read_text())
    facts["classes"] = facts["classes"][:7]
    (folder / "preprocessing.json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match=r"weights.safetensors.* do not fit"):
        narsfast.load(folder)


def test_unknown_field_is_refused_by_name(folder):
    facts = json.loads((folder / "preprocessing.json").read_text()) | {"color": 1}
    (folder / "preprocessing.json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match="color"):
        read_preprocessing(folder)


def test_missing_folder_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match="nowhere is not a folder"):
        narsfast.load(tmp_path / "nowhere")
