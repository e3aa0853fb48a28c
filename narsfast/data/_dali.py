"""Batches by NVIDIA DALI: decoding, cropping and augmenting in DALI's threads, or on a GPU.

Every random choice is made here, keyed by (seed, epoch, sample), and passed to the pipeline. So the order, the crops
and the mirroring are those of the other loader, and a pipeline serves any trial.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import closing

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narsfast.errors import UserError

from ._augment import center_crops, erased_rectangles, training_crops
from ._augmentation import CROPS, Augmentation
from ._batches import evaluation_pixels, normalize, training_parts
from ._dali_pipeline import CHOICES, CPU_PIPELINES, PREFETCH, Inputs, Pipelines, PipelineSpec, relative_boxes
from ._dali_policy import policy
from ._dataset import CachedImages, Split
from ._decode import FileImages, as_ppm
from ._random import Purpose, uniforms
from ._share import WHOLE, Share, split_share

_log = logging.getLogger("narsfast.data")

_PIPELINES = (
    8  # kept: one with a policy takes seconds to build, and trials differ in batch size and resolution
)
_EVALUATION_BATCH = 128


class DaliBatches:
    """Makes the batches of `narsfast.data.batches` by DALI.

    Args:
        threads: Of DALI, beside the thread that reads the batches.
        device: Index of a CUDA device, which decodes JPEGs and has the batches; None is the CPU.

    Raises:
        UserError: There is no such device, or no thread.
    """

    def __init__(self, threads: int = 1, device: int | None = None) -> None:
        if threads < 1:
            raise UserError(f"threads is {threads}; DALI needs at least 1")
        if device is not None and not 0 <= device < torch.cuda.device_count():
            raise UserError(
                f"loader: dali cannot use CUDA device {device}, as this machine has {torch.cuda.device_count()} with a "
                "driver; leave the device out to load on the CPU"
            )
        self._threads = threads
        self._device = device
        self._idle: dict[PipelineSpec, Pipelines] = {}

    def __call__(
        self,
        split: Split,
        resolution: int,
        batch_size: int,
        *,
        seed: int = 0,
        epoch: int = 0,
        training: bool = False,
        augmentation: Augmentation = CROPS,
        share: Share = WHOLE,
        balanced: bool = False,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of one pass over a split: arguments, order and batches of `narsfast.data.batches`.

        Images in memory are taken from there, files are decoded by DALI. The batches are on the device.
        """
        if not training:
            yield from self._evaluation(split, resolution, batch_size, share)
            return
        parts = training_parts(split.labels, batch_size, seed, epoch, share, balanced)
        spec = PipelineSpec(
            isinstance(split.images, FileImages),
            split.preprocess,
            resolution,
            _next_power_of_two(batch_size),
            policy=augmentation.kind if augmentation.has_policy else None,
            color=augmentation.color > 0,
            erasing=augmentation.erasing > 0,
        )

        def inputs(part: NDArray[np.int64]) -> Inputs:
            return {
                **_crops(split, part, augmentation, seed, epoch),
                **(_policy_choices(augmentation, part, seed, epoch) if augmentation.has_policy else {}),
                **(_jitter(augmentation.color, part, seed, epoch) if spec.color else {}),
                **(_rectangles(augmentation.erasing, part, resolution, seed, epoch) if spec.erasing else {}),
            }

        for part, images in zip(parts, self._run(spec, split, parts, inputs), strict=True):
            yield images.permute(0, 3, 1, 2), self._moved(torch.from_numpy(split.labels[part % len(split)]))

    def _evaluation(
        self, split: Split, resolution: int, batch_size: int, share: Share
    ) -> Iterator[tuple[Tensor, Tensor]]:
        encoded = isinstance(split.images, FileImages)

        def read(samples: NDArray[np.int64]) -> NDArray[np.uint8]:
            spec = PipelineSpec(encoded, split.preprocess, resolution, _EVALUATION_BATCH, normalized=False)
            parts = _consecutive(samples, _EVALUATION_BATCH)
            pixels = self._run(spec, split, parts, lambda part: _centers(split, part))
            return np.concatenate([tensor.cpu().numpy() for tensor in pixels])

        kept = evaluation_pixels(split, resolution, "dali", read)
        parts = _consecutive(split_share(len(split), share), batch_size)
        if kept is None:
            spec = PipelineSpec(encoded, split.preprocess, resolution, _next_power_of_two(batch_size))
            images = (
                pixels.permute(0, 3, 1, 2)
                for pixels in self._run(spec, split, parts, lambda part: _unmirrored(split, part))
            )
        else:
            images = (self._moved(normalize(kept[part], split.preprocess)) for part in parts)
        for part, batch in zip(parts, images, strict=True):
            yield batch, self._moved(torch.from_numpy(split.labels[part]))

    def _run(
        self,
        spec: PipelineSpec,
        split: Split,
        parts: list[NDArray[np.int64]],
        inputs: Callable[[NDArray[np.int64]], Inputs],
    ) -> Iterator[Tensor]:
        """Yield the pipelines' results for all parts; what DALI cannot decode is decoded by Pillow.

        DALI fails in a whole batch for one file, and the pipeline with it: then the remaining batches start again on
        new pipelines, without those files.
        """
        done = 0
        while done < len(parts):
            fed = ({"images": _images(split, part % len(split)), **inputs(part)} for part in parts[done:])
            try:
                with closing(self._results(spec, fed)) as results:
                    for images in results:
                        yield images
                        done += 1
            except RuntimeError:
                started = np.concatenate(parts[done : done + CPU_PIPELINES * (PREFETCH + 1)])
                if not spec.encoded or not self._leave_to_pillow(split, np.unique(started % len(split))):
                    raise

    def _results(self, spec: PipelineSpec, fed: Iterator[Inputs]) -> Generator[Tensor, None, None]:
        """Yield the results of pipelines that are not used elsewhere meanwhile; if one fails, none is used again."""
        pipelines = self._idle.pop(spec, None) or Pipelines(spec, self._threads, self._device)
        try:
            with closing(pipelines.run(fed)) as results:
                yield from results
        finally:
            if not pipelines.failed:
                self._idle[spec] = pipelines
                if len(self._idle) > _PIPELINES:
                    self._idle.pop(next(iter(self._idle)))

    def _leave_to_pillow(self, split: Split, samples: NDArray[np.int64]) -> bool:
        """Leave the files that DALI cannot decode to Pillow; return whether there are any.

        There are none where DALI fails at an image that is known to be good: then no file is the cause.
        """
        images = split.images
        assert isinstance(images, FileImages)
        good = as_ppm(np.zeros((1, 1, 3), np.uint8))
        if not self._decodes(split, np.frombuffer(good, np.uint8)):
            return False
        refused = [
            index
            for index, content in zip(samples.tolist(), images.encoded(samples), strict=True)
            if index not in images.by_pillow and not self._decodes(split, content)
        ]
        for index in refused:
            _log.warning("%s: DALI cannot decode it, so Pillow does", images.leave_to_pillow(index))
        return bool(refused)

    def _decodes(self, split: Split, content: NDArray[np.uint8]) -> bool:
        """Tell whether DALI can decode the content of one file."""
        spec = PipelineSpec(True, split.preprocess, 1, 1, normalized=False)
        whole = np.array([[0, 0, 1, 1]], np.float32)
        try:
            list(self._results(spec, iter([{"images": [content], "boxes": whole}])))
        except RuntimeError:
            return False
        return True

    def _moved(self, tensor: Tensor) -> Tensor:
        return tensor if self._device is None else tensor.to(f"cuda:{self._device}")


def _consecutive(samples: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return [samples[start : start + size] for start in range(0, len(samples), size)]


def _next_power_of_two(batch_size: int) -> int:
    """Return the batch size that a pipeline is built for, so that one serves several batch sizes."""
    return 1 << (batch_size - 1).bit_length()


def _images(split: Split, part: NDArray[np.int64]) -> list[NDArray[np.uint8]]:
    """Return the contents of files, or pixels (height, width, channels)."""
    if isinstance(split.images, FileImages):
        return split.images.encoded(part)
    assert isinstance(split.images, CachedImages)
    return split.images.pixels(part)


def _centers(split: Split, part: NDArray[np.int64]) -> Inputs:
    sizes = split.images.sizes[part % len(split)]
    return {"boxes": relative_boxes(center_crops(sizes, split.preprocess), sizes)}


def _unmirrored(split: Split, part: NDArray[np.int64]) -> Inputs:
    return {**_centers(split, part), "mirror": np.zeros(len(part), np.int32)}


def _crops(
    split: Split, part: NDArray[np.int64], augmentation: Augmentation, seed: int, epoch: int
) -> Inputs:
    if not augmentation.crops:
        return _unmirrored(split, part)
    sizes = split.images.sizes[part % len(split)]
    boxes, mirror = training_crops(sizes, part, split.preprocess, seed, epoch)
    return {"boxes": relative_boxes(boxes, sizes), "mirror": mirror.astype(np.int32)}


def _policy_choices(augmentation: Augmentation, part: NDArray[np.int64], seed: int, epoch: int) -> Inputs:
    choices = policy(augmentation.kind).choose(part, seed, epoch, augmentation.policy_strength)
    return {
        f"{name}{stage}": getattr(chosen, name) for stage, chosen in enumerate(choices) for name in CHOICES
    }


def _jitter(color: float, part: NDArray[np.int64], seed: int, epoch: int) -> Inputs:
    """Draw factors of brightness, contrast and saturation."""
    draws = uniforms(3, Purpose.COLOR, seed, epoch, part)
    return {"color": (1 + color * (2 * draws - 1)).clip(min=0).astype(np.float32)}


def _rectangles(erasing: float, part: NDArray[np.int64], resolution: int, seed: int, epoch: int) -> Inputs:
    corners, sizes = erased_rectangles(erasing, part, resolution, seed=seed, epoch=epoch)
    return {"erased_from": corners.astype(np.float32), "erased_size": sizes.astype(np.float32)}
