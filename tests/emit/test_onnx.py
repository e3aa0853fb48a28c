import json

import numpy as np
import pytest
import torch
from torch import nn

from narsfast.emit import compare_onnx
from narsfast.emit._onnx import export_and_check

from .conftest import shaken

onnx = pytest.importorskip("onnx", reason="the [onnx] extra is not installed")
ort = pytest.importorskip("onnxruntime", reason="the [onnx] extra is not installed")
pytestmark = pytest.mark.exports


def session(emitted):
    return ort.InferenceSession(
        str(emitted.emission.directory / "model.onnx"), providers=["CPUExecutionProvider"]
    )


def test_check_covers_every_test_image(emitted, digits):
    check = emitted.emission.onnx
    assert check.status == "equal"
    assert check.images == check.same_top1 == len(digits.test)
    assert 0 <= check.max_abs_difference < 1e-3


def test_recorded_difference_is_the_largest_one(emitted):
    largest = 0.0
    network = emitted.network.eval()
    with torch.no_grad():
        for images, _ in emitted.batches:
            (logits,) = session(emitted).run(["logits"], {"images": images.contiguous().numpy()})
            largest = max(largest, float(np.abs(logits - network(images).numpy()).max()))
    assert emitted.emission.onnx.max_abs_difference == pytest.approx(largest, abs=1e-5)


@pytest.mark.parametrize("count", [1, 3, 17])
def test_batch_dimension_is_dynamic(emitted, count):
    (logits,) = session(emitted).run(None, {"images": np.zeros((count, 1, 32, 32), np.float32)})
    assert logits.shape == (count, 10)


@pytest.mark.filterwarnings("ignore")
def test_fused_network_is_exported_as_any_module(emitted, tmp_path):
    """Without `set_ops`, as a user would do it."""
    block = emitted.network.eval().stages[1][0]
    assert block.depthwise.ops == "fused"
    maps = torch.randn(2, 8, 16, 16)
    path, batch = tmp_path / "block.onnx", {0: torch.export.Dim("batch")}
    torch.onnx.export(block, (maps,), path, dynamic_shapes=(batch,), dynamo=True, verbose=False)
    exported = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = block(maps[:1]).numpy()
    (found,) = exported.run(None, {exported.get_inputs()[0].name: maps[:1].numpy()})
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_file_says_how_to_use_it(emitted):
    """Classes and preprocessing are in the file, which may travel alone, and its opset in the folder."""
    model = onnx.load(emitted.emission.directory / "model.onnx")
    metadata = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    folder = emitted.emission.directory
    assert metadata["preprocessing"] == json.loads((folder / "preprocessing.json").read_text())
    assert metadata["classes"] == metadata["preprocessing"]["classes"]
    assert session(emitted).get_modelmeta().custom_metadata_map.keys() == metadata.keys()
    (opset,) = {entry.version for entry in model.opset_import if entry.domain == ""}
    assert emitted.emission.onnx.opset == opset
    assert f"opset {opset};" in (folder / "README.md").read_text()


def test_file_of_another_network_differs(emitted):
    other = shaken(emitted.network.__class__(emitted.network.definition, 10, 1), seed=9)
    check = compare_onnx(other, emitted.emission.directory / "model.onnx", emitted.batches)
    assert check.status == "differs"
    assert check.same_top1 < check.images
    assert check.max_abs_difference > 1e-3


def test_status_is_unchecked_without_images(emitted):
    check = compare_onnx(emitted.network, emitted.emission.directory / "model.onnx", [])
    assert (check.status, check.images, check.max_abs_difference) == ("unchecked", 0, None)


def test_failing_export_is_a_result(tmp_path):
    class Stubborn(nn.Module):
        def forward(self, x):
            return x.sum((1, 2, 3)) if x.sum().item() > 0 else x.mean((1, 2, 3))

    check = export_and_check(Stubborn(), tmp_path / "model.onnx", 8, 1, None)
    assert check.status == "failed"
    assert check.reason
    assert list(tmp_path.iterdir()) == []
