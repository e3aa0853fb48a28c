"""Export of a network to ONNX, and comparison of the file with torch."""

from __future__ import annotations

import copy
import importlib.util
import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from narsfast.arch import set_ops

NEEDS = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class OnnxCheck:
    """The comparison of an exported file with its torch module.

    Attributes:
        status: ``equal`` (same top-1 class for every image), ``differs``, ``unchecked`` (exported, but there were no
            images to compare), ``skipped`` (not exported) or ``failed`` (the exporter raised an error).
        reason: The reason for ``skipped``, ``unchecked`` and ``failed`` in one line, else empty.
        images: Number of images compared.
        same_top1: Number of them with the same top-1 class.
        max_abs_difference: Largest absolute difference of a logit; None if nothing was compared.
        opset: Version of the operators in the file; None where there is no file.
    """

    status: Literal["equal", "differs", "unchecked", "skipped", "failed"]
    reason: str = ""
    images: int = 0
    same_top1: int = 0
    max_abs_difference: float | None = None
    opset: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return asdict(self)


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silence logs and warnings of the exporter about its own passes; errors are still raised."""
    names = ("torch.onnx", "onnxscript", "onnx_ir")
    levels = {name: logging.getLogger(name).level for name in names}
    try:
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def missing_packages() -> tuple[str, ...]:
    """Return the packages of the ``[onnx]`` extra that are not installed."""
    return tuple(name for name in NEEDS if importlib.util.find_spec(name) is None)


def export_onnx(
    network: nn.Module,
    path: Path,
    resolution: int,
    in_chans: int,
    metadata: Mapping[str, str] | None = None,
) -> int:
    """Export a network in eval mode to ONNX with a dynamic batch dimension.

    Input ``images`` (batch, in_chans, resolution, resolution) float32, output ``logits`` (batch, classes)
    float32.

    Args:
        network: The trained module; it is copied and not changed.
        path: The file to write, with the weights inside.
        resolution: Height and width of the input in pixels.
        in_chans: Channels of the input.
        metadata: Texts by name that the file carries (``metadata_props``, which every runtime can read).

    Returns:
        The version of ONNX's operators in the file (opset).
    """
    import onnx

    module = copy.deepcopy(network).cpu().eval()
    set_ops(module, "torch")
    example = torch.zeros(2, in_chans, resolution, resolution)
    with _quiet_exporter(), torch.no_grad():
        torch.onnx.export(
            module,
            (example,),
            str(path),
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    model = onnx.load(path)
    onnx.helper.set_model_props(model, dict(metadata or {}))
    onnx.save(model, path)
    return next(int(imported.version) for imported in model.opset_import if imported.domain == "")


def compare_onnx(network: nn.Module, path: Path, batches: Iterable[tuple[Tensor, Tensor]]) -> OnnxCheck:
    """Compare the logits of an ONNX file and its torch module on the same images.

    Args:
        network: The torch module of the file, of which a copy is run in eval mode on the CPU.
        path: The ONNX file.
        batches: Pairs (images (b, C, H, W) float32 normalized, labels (b,)), usually the test split.

    Returns:
        ``equal`` or ``differs`` with the counts, or ``unchecked`` when `batches` is empty.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    module = copy.deepcopy(network).cpu().eval()
    images_seen, same, largest = 0, 0, 0.0
    with torch.no_grad():
        for batch, _ in batches:
            images = batch.cpu().float()
            expected = module(images)
            actual = torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])
            images_seen += len(images)
            same += int((expected.argmax(1) == actual.argmax(1)).sum())
            largest = max(largest, float((expected - actual).abs().max()))
    if images_seen == 0:
        return OnnxCheck("unchecked", "there were no images to compare")
    return OnnxCheck("equal" if same == images_seen else "differs", "", images_seen, same, largest)


def export_and_check(
    network: nn.Module,
    path: Path,
    resolution: int,
    in_chans: int,
    batches: Iterable[tuple[Tensor, Tensor]] | None,
    metadata: Mapping[str, str] | None = None,
) -> OnnxCheck:
    """Export a network and compare the file; a missing extra or a failing exporter is a result, not an error.

    An export that fails must not prevent the emission of a trained network.

    Args:
        network: The trained module.
        path: The ONNX file to write; there is none if the status is ``skipped`` or ``failed``.
        resolution: Height and width of the input in pixels.
        in_chans: Channels of the input.
        batches: Images to compare, or None.
        metadata: As in `export_onnx`.

    Returns:
        The outcome, with a reason.
    """
    missing = missing_packages()
    if missing:
        return OnnxCheck("skipped", f"{', '.join(missing)} not installed; pip install 'narsfast[onnx]'")
    try:
        opset = export_onnx(network, path, resolution, in_chans, metadata)
    except Exception as error:  # exporters raise many kinds of errors for operators that they do not support
        path.unlink(missing_ok=True)
        first_line = (str(error).strip().splitlines() or [""])[0]
        return OnnxCheck("failed", f"{type(error).__name__}: {first_line}")
    return replace(compare_onnx(network, path, batches if batches is not None else ()), opset=opset)
