"""The graph of DALI operators that turns files or pixels into a network's input, and running copies of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle, islice, tee
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from ._dali_policy import fill_value, policy
from ._dataset import Preprocess

PREFETCH = 2
"""Batches that a pipeline computes ahead of the one in use (DALI's default)."""

CPU_PIPELINES = 2
"""Pipelines that share the threads of a CPU.

DALI runs one CPU operator at a time, and in one pipeline its threads wait for the slowest of them: policies, which have
many operators, gain the most from two."""

CHOICES = ("operation", "magnitude", "sign")
"""What is chosen for an image in each stage of a policy."""

Inputs = Mapping[str, Any]
"""The value of each input of a pipeline: a list of b arrays, or one array whose first dimension is b."""


@dataclass(frozen=True)
class PipelineSpec:
    """What a pipeline is built for; everything else is its input.

    Attributes:
        encoded: Whether the images are the contents of files; otherwise they are pixels.
        preprocess: Channels, mean, std and interpolation.
        resolution: Side of the result, pixels.
        batch_size: Most images per batch.
        normalized: Whether the result is the network's float32; otherwise it is uint8 pixels, neither mirrored nor
            augmented.
        policy: Name of the policy, None without one.
        color: Whether there is color jitter.
        erasing: Whether there is a rectangle to erase.
    """

    encoded: bool
    preprocess: Preprocess
    resolution: int
    batch_size: int
    normalized: bool = True
    policy: str | None = None
    color: bool = False
    erasing: bool = False

    @property
    def stages(self) -> int:
        """Stages of the policy."""
        return 0 if self.policy is None else len(policy(self.policy).stages)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the pipeline's inputs."""
        names = ["images", "boxes"]
        if self.normalized:
            names += ["mirror", *(f"{part}{stage}" for stage in range(self.stages) for part in CHOICES)]
            names += ["color"] * self.color
            names += ["erased_from", "erased_size"] * self.erasing
        return tuple(names)


class Pipelines:
    """Built pipelines of one specification, which take turns.

    Args:
        spec: What they are built for.
        threads: Of DALI, in all of them together.
        device: Index of the CUDA device, which has one pipeline; None is the CPU.

    Attributes:
        failed: Whether DALI failed in a batch; then the pipelines cannot be used again.
    """

    def __init__(self, spec: PipelineSpec, threads: int, device: int | None) -> None:
        count = min(threads, CPU_PIPELINES) if device is None else 1
        shares = [threads // count + (place < threads % count) for place in range(count)]
        self._pipelines = [_Pipeline(spec, share, device) for share in shares]
        self.failed = False

    def run(self, batches: Iterator[Inputs]) -> Generator[Tensor, None, None]:
        """Yield the results of the batches in order, (b, resolution, resolution, channels), computed ahead in threads.

        Batches that were started and are not read are waited for, so that the next run starts with empty pipelines.

        Raises:
            RuntimeError: DALI failed in a batch.
        """
        count = len(self._pipelines)
        try:
            for place, own in enumerate(tee(batches, count)):
                self._pipelines[place].start(islice(own, place, None, count))
            for pipeline in cycle(self._pipelines):
                if (images := pipeline.next()) is None:
                    return
                yield images
        except RuntimeError:
            self.failed = True
            raise
        finally:
            for pipeline in self._pipelines:
                self.failed |= not pipeline.stop()


class _Pipeline:
    """One built pipeline.

    Args:
        spec: What it is built for.
        threads: Of DALI.
        device: Index of the CUDA device; None is the CPU.
    """

    def __init__(self, spec: PipelineSpec, threads: int, device: int | None) -> None:
        from nvidia import dali

        self._names = spec.inputs
        self._inputs: Iterator[Inputs] = iter(())
        make = dali.pipeline_def(_graph, enable_conditionals=spec.policy is not None)
        with warnings.catch_warnings(record=True):  # DALI's policies call its own deprecated operators
            self._pipeline = make(
                spec,
                self._source,
                device is not None,
                batch_size=spec.batch_size,
                num_threads=threads,
                device_id=device,
                prefetch_queue_depth=PREFETCH,
                exec_dynamic=True,
                seed=0,  # nothing in it draws
            )
        self._pipeline.build()

    def start(self, batches: Iterator[Inputs]) -> None:
        """Start with the first batches."""
        self._inputs = batches
        self._pipeline.schedule_run()

    def next(self) -> Tensor | None:
        """Return the next result and start another batch; None after the last one.

        On a CPU it is in DALI's memory, which the dynamic executor does not reuse while the tensor lives. On a GPU torch
        may still be reading after the tensor was freed, so it is copied.
        """
        try:
            (result,) = self._pipeline.outputs()
        except StopIteration:
            return None
        tensor = from_dlpack(result.as_tensor())
        self._pipeline.schedule_run()
        return tensor.clone() if tensor.is_cuda else tensor

    def stop(self) -> bool:
        """Wait for the batches that were started; return whether the pipeline can be used again."""
        self._inputs = iter(())
        try:
            while self.next() is not None:
                pass
            self._pipeline.reset()
        except RuntimeError:
            return False
        return True

    def _source(self) -> list[Any]:
        """Return the inputs of the next batch, for DALI; end with StopIteration."""
        from nvidia.dali.tensors import TensorCPU

        inputs = next(self._inputs)
        values = (inputs[name] for name in self._names)
        return [
            [TensorCPU(array) for array in value] if isinstance(value, list) else np.ascontiguousarray(value)
            for value in values
        ]


def _graph(spec: PipelineSpec, source: Callable[[], list[Any]], gpu: bool) -> Any:
    """Build the graph: decode, crop and resize, policy, color, mirror and normalize, erase."""
    from nvidia.dali import fn, types

    nodes = fn.external_source(source=source, num_outputs=len(spec.inputs))
    inputs = {
        name: nodes[index] for index, name in enumerate(spec.inputs)
    }  # DALI rewrites this: no zip(strict)
    gray = spec.preprocess.in_chans == 1
    images, boxes = inputs["images"], inputs["boxes"]
    if spec.encoded:
        images = fn.decoders.image(
            images,
            device="mixed" if gpu else "cpu",
            output_type=types.GRAY if gray else types.RGB,
            adjust_orientation=spec.preprocess.reading.orient,
        )
    elif gpu:
        images = images.gpu()
    cubic = spec.preprocess.interpolation == "bicubic"
    images = fn.resize(
        images,
        size=[spec.resolution, spec.resolution],
        roi_start=boxes[:2],
        roi_end=boxes[2:],
        roi_relative=True,
        interp_type=types.INTERP_CUBIC if cubic else types.INTERP_LINEAR,
        antialias=True,
    )
    if not spec.normalized:
        return images
    if spec.policy is not None:
        images = _with_policy(images, inputs, spec, spec.policy, gray)
    if spec.color:
        images = _jittered(images, inputs["color"], gray, gpu)
    images = fn.crop_mirror_normalize(
        images,
        dtype=types.FLOAT,
        output_layout="HWC",
        mean=[255 * value for value in spec.preprocess.mean],
        std=[255 * value for value in spec.preprocess.std],
        mirror=inputs["mirror"],
    )
    if spec.erasing:
        images = fn.erase(
            images,
            anchor=inputs["erased_from"],
            shape=inputs["erased_size"],
            axis_names="HW",
            fill_value=0,
        )
    return images


def _jittered(images: Any, factors: Any, gray: bool, gpu: bool) -> Any:
    """Apply the factors of brightness, contrast and saturation.

    Contrast is around the image's own mean, as in torchvision; so the order matters only where values are cut off.
    """
    from nvidia.dali import fn, types

    shades = (
        images if gray else fn.color_space_conversion(images, image_type=types.RGB, output_type=types.GRAY)
    )
    mean = fn.reductions.mean(shades)
    images = fn.brightness_contrast(
        images, brightness=factors[0], contrast=factors[1], contrast_center=mean.cpu() if gpu else mean
    )
    return images if gray else fn.saturation(images, saturation=factors[2])


def _with_policy(images: Any, inputs: Inputs, spec: PipelineSpec, name: str, gray: bool) -> Any:
    """Apply the policy; DALI's operations need three channels, so a gray image has three equal ones meanwhile."""
    from nvidia.dali import fn, types

    stages = [tuple(inputs[f"{part}{stage}"] for part in CHOICES) for stage in range(spec.stages)]
    if gray:
        images = fn.color_space_conversion(images, image_type=types.GRAY, output_type=types.RGB)
    images = policy(name).apply(images, stages, spec.resolution, fill_value(spec.preprocess))
    if gray:
        images = fn.color_space_conversion(images, image_type=types.RGB, output_type=types.GRAY)
    return images


def relative_boxes(boxes: NDArray[np.float64], sizes: NDArray[np.int64]) -> NDArray[np.float32]:
    """Convert boxes to DALI's form.

    Args:
        boxes: (b, 4): left, top, right, bottom in pixels.
        sizes: (b, 2): heights and widths of the images.

    Returns:
        (b, 4) float32: top, left, bottom, right as shares of the sides.
    """
    return (boxes[:, [1, 0, 3, 2]] / np.tile(sizes, 2)).astype(np.float32)
