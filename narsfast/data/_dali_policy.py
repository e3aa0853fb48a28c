"""Augmentation policies of DALI, with every random choice made outside and passed in.

DALI's own `rand_augment` and the like draw inside the pipeline, from generators that advance with every draw. Here
operation, magnitude and sign are inputs of the pipeline, so that they can be functions of (seed, epoch,
sample); the operations, their magnitudes and the policies are DALI's (`nvidia.dali.auto_aug`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._augmentation import STRENGTHS
from ._dataset import Preprocess
from ._random import Purpose, uniforms

BINS = STRENGTHS + 1
"""Magnitudes of RandAugment and TrivialAugment, 0 to 30: those of torchvision too."""

_OPERATIONS = 2  # of RandAugment: torchvision's default
_TRANSLATION = 150 / 331  # largest shift of RandAugment and AutoAugment as a share of the side: torchvision's


@dataclass(frozen=True)
class Choices:
    """What happens to each image of a batch in one stage of a policy.

    Attributes:
        operation: (b,) int32 index into the stage's operations.
        magnitude: (b,) int32 bin.
        sign: (b,) int32, 1 where the magnitude is negated.
    """

    operation: NDArray[np.int32]
    magnitude: NDArray[np.int32]
    sign: NDArray[np.int32]


@dataclass(frozen=True)
class Policy:
    """A policy as stages: each applies one of its operations to each image.

    Attributes:
        name: ``randaugment``, ``autoaugment`` or ``trivialaugment``.
        stages: For each stage DALI's augmentations; the first one leaves the image as it is.
        bins: How many magnitudes there are.
        table: AutoAugment's sub-policies, (sub-policies, stages, 3) float64: operation, probability, magnitude.
    """

    name: str
    stages: tuple[tuple[Any, ...], ...]
    bins: int
    table: NDArray[np.float64] | None = None

    def choose(self, samples: NDArray[np.int64], seed: int, epoch: int, strength: int) -> list[Choices]:
        """Draw the random choices for a batch, one entry per stage.

        Args:
            samples: (b,) indices of the images in their split.
            seed: Of the trial.
            epoch: Counted from 0.
            strength: As in `Augmentation`.
        """
        stages = len(self.stages)
        draws = uniforms(1 + 3 * stages, Purpose.POLICY, seed, epoch, samples)
        first, draws = draws[:, 0], draws[:, 1:].reshape(-1, stages, 3)
        signs = (draws[:, :, 2] < 0.5).astype(np.int32)
        if self.table is not None:
            chosen = self.table[(first * len(self.table)).astype(np.int64)]
            applied = draws[:, :, 0] < chosen[:, :, 1]
            operations, magnitudes = np.where(applied, chosen[:, :, 0], 0), chosen[:, :, 2]
        else:
            counts = np.array([len(stage) - 1 for stage in self.stages])
            operations = 1 + np.floor(draws[:, :, 0] * counts)
            magnitudes = np.floor(draws[:, :, 1] * self.bins)
        if self.name == "randaugment":
            magnitudes = np.full_like(magnitudes, strength)
        else:
            share = uniforms(1, Purpose.POLICY_SHARE, seed, epoch, samples)
            operations = np.where(share < strength / STRENGTHS, operations, 0)
        return [
            Choices(
                operations[:, stage].astype(np.int32), magnitudes[:, stage].astype(np.int32), signs[:, stage]
            )
            for stage in range(stages)
        ]

    def apply(self, image: Any, stages: list[tuple[Any, Any, Any]], resolution: int, fill: int) -> Any:
        """Apply the policy inside a pipeline with conditionals.

        Args:
            image: Data node, (resolution, resolution, 3) uint8.
            stages: Data nodes of operation, magnitude and sign, for each stage.
            resolution: Side of the image, pixels.
            fill: Gray value of empty corners.
        """
        from nvidia.dali.auto_aug.core import select, signed_bin

        for index, (operation, magnitude, sign) in enumerate(stages):
            image = select(
                list(self.stages[index]),
                operation,
                image,
                magnitude_bin=signed_bin(magnitude, random_sign=sign),
                num_magnitude_bins=self.bins,
                shape=(resolution, resolution),
                fill_value=fill,
            )
        return image


@lru_cache(maxsize=4)
def policy(name: str) -> Policy:
    """Return DALI's RandAugment (2 operations), AutoAugment (ImageNet's policy) or TrivialAugment (wide).

    The magnitudes are DALI's; the largest shift, which DALI leaves open, is torchvision's.
    """
    from nvidia.dali.auto_aug import auto_augment, rand_augment, trivial_augment
    from nvidia.dali.auto_aug.augmentations import identity

    if name == "randaugment":
        suite = rand_augment.get_rand_augment_suite(use_shape=True, max_translate_rel=_TRANSLATION)
        return Policy(name, ((identity, *suite),) * _OPERATIONS, BINS)
    if name == "trivialaugment":
        return Policy(name, ((identity, *trivial_augment.get_trivial_augment_wide_suite()),), BINS)
    published = auto_augment.get_image_net_policy(use_shape=True, max_translate_rel=_TRANSLATION)
    longest = max(len(sub_policy) for sub_policy in published.sub_policies)
    stages: list[list[Any]] = [[identity] for _ in range(longest)]
    table = np.zeros((len(published.sub_policies), longest, 3))
    for row, sub_policy in zip(table, published.sub_policies, strict=True):
        for stage, cells, (operation, probability, magnitude) in zip(stages, row, sub_policy, strict=False):
            if operation not in stage:
                stage.append(operation)
            cells[:] = stage.index(operation), probability, magnitude or 0
    return Policy(name, tuple(tuple(stage) for stage in stages), published.num_magnitude_bins, table)


def fill_value(preprocess: Preprocess) -> int:
    """Return the gray value of corners that a rotation empties, the mean over the channels, as DALI takes one value."""
    return round(255 * sum(preprocess.mean) / len(preprocess.mean))
