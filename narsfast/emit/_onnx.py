"""ONNX: export of a network and the check of the file against torch, image by image."""

from __future__ import annotations

import copy
import importlib.util
import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from narsfast.arch import set_ops

NEEDS = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class OnnxCheck:
    """How the exported file compares with the torch module it came from.

    Attributes:
        status: ``equal`` (same top-1 class for every image), ``differs``, ``unchecked`` (exported, but no
            images were given to compare on), ``skipped`` (not exported) or ``failed`` (the exporter gave up).
        reason: one line on ``skipped``, ``unchecked`` and ``failed``, else empty.
        images: number of images compared.
        same_top1: number of them with the same top-1 class.
        max_abs_difference: largest absolute difference between two logits; None when nothing was compared.
    """

    status: Literal["equal", "differs", "unchecked", "skipped", "failed"]
    reason: str = ""
    images: int = 0
    same_top1: int = 0
    max_abs_difference: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return asdict(self)


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silence what the exporter logs and warns of its own passes; errors still raise."""
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
    """Return which packages of the ``[onnx]`` extra are not installed."""
    return tuple(name for name in NEEDS if importlib.util.find_spec(name) is None)


def export_onnx(network: nn.Module, path: Path, resolution: int, in_chans: int) -> None:
    """Write `network` in eval mode as ONNX with a free batch dimension.

    Input ``images`` (batch, in_chans, resolution, resolution) float32, output ``logits`` (batch, classes)
    float32.

    Args:
        network: the trained module; it is copied to the CPU and not changed.
        path: the file to write; the weights are inside it.
        resolution: height and width of the input in pixels.
        in_chans: channels of the input.
    """
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


def compare_onnx(network: nn.Module, path: Path, batches: Iterable[tuple[Tensor, Tensor]]) -> OnnxCheck:
    """Run the file at `path` and `network` on the same images and compare the logits.

    Args:
        network: the torch module the file was made from; run on a copy in eval mode on the CPU.
        path: the ONNX file.
        batches: pairs (images (b, C, H, W) float32 normalized, labels (b,)), usually the test split.

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
            ours = module(images)
            theirs = torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])
            images_seen += len(images)
            same += int((ours.argmax(1) == theirs.argmax(1)).sum())
            largest = max(largest, float((ours - theirs).abs().max()))
    if images_seen == 0:
        return OnnxCheck("unchecked", "no images were given to compare on")
    return OnnxCheck("equal" if same == images_seen else "differs", "", images_seen, same, largest)


def export_and_check(
    network: nn.Module,
    path: Path,
    resolution: int,
    in_chans: int,
    batches: Iterable[tuple[Tensor, Tensor]] | None,
) -> OnnxCheck:
    """Export `network` to `path` and compare; a missing extra or a failing exporter is a result, no error.

    The weights and the recipe of a long training are worth more than its ONNX twin, so neither may be lost to
    it.

    Args:
        network: the trained module.
        path: the ONNX file to write; absent afterwards when the status is ``skipped`` or ``failed``.
        resolution: height and width of the input in pixels.
        in_chans: channels of the input.
        batches: images to compare on, or None.

    Returns:
        What happened, with the reason.
    """
    missing = missing_packages()
    if missing:
        return OnnxCheck("skipped", f"{', '.join(missing)} not installed; pip install 'narsfast[onnx]'")
    try:
        export_onnx(network, path, resolution, in_chans)
    except Exception as error:  # whatever an exporter raises on an operator it cannot express
        path.unlink(missing_ok=True)
        first_line = (str(error).strip().splitlines() or [""])[0]
        return OnnxCheck("failed", f"{type(error).__name__}: {first_line}")
    return compare_onnx(network, path, batches if batches is not None else ())
