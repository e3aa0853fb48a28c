"""A space as plain arrays, for native code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._field import KINDS, PARTS, Field
from ._mbconv import HEAD_OPTIONS, HEADER_NAMES, STAGE_NAMES, STAGE_OPTIONS
from ._vocabulary import code_of


@dataclass(frozen=True)
class SpaceTables:
    """C-contiguous arrays for F fields with at most V values, C conditions and S stages.

    A field is active if it has no conditions, or if any of its conditions holds. A condition holds if its
    parent is itself active and the bit of the parent's gene is set in the mask.

    Attributes:
        sizes: (F,) int16, number of values per field.
        kinds: (F,) int8: 0 categorical, 1 range, 2 fixed.
        parts: (F,) int8: 0 architecture, 1 recipe.
        numbers: (F, V) int32, values of architecture fields, booleans as 0 and 1, words of blocks as `code_of` numbers
            them; 0 for other values, for recipe fields and as padding.
        condition_offsets: (F + 1,) int32; the conditions of field f are those from offset f to f + 1.
        condition_parents: (C,) int32, the parent's column, always before the field's own.
        condition_masks: (C,) uint64; bit i is set if the parent's value i activates the field.
        header_columns: (8,) int32, columns that fill resolution, stem.channels, head.expansion, head.features,
            head.hidden, head.bias, head.norm, act; -1 where no field does, so in a space without stages.
        stage_columns: (S, 12) int32, columns that fill kernel.first, kernel.rest, expansion.first, expansion.rest,
            channels, depth, stride, se of each stage, and act, kind, start_kernel, se_width, where -1 stands for the
            default. Where a stage has no act or se_width of its own, that of the network is its.
    """

    sizes: NDArray[np.int16]
    kinds: NDArray[np.int8]
    parts: NDArray[np.int8]
    numbers: NDArray[np.int32]
    condition_offsets: NDArray[np.int32]
    condition_parents: NDArray[np.int32]
    condition_masks: NDArray[np.uint64]
    header_columns: NDArray[np.int32]
    stage_columns: NDArray[np.int32]


def build_tables(fields: Sequence[Field], stages: int) -> SpaceTables:
    """Build the arrays of a space with these columns."""
    position = {field.name: column for column, field in enumerate(fields)}
    filled_by = {name: column for column, field in enumerate(fields) for name in field.fills}
    numbers = np.zeros((len(fields), max((len(field.values) for field in fields), default=0)), np.int32)
    offsets, parents, masks = [0], [], []
    for column, field in enumerate(fields):
        if field.part == "architecture":
            integers = [code_of(field.fills[0], value) for value in field.values]
            numbers[column, : len(integers)] = integers
        for condition in field.conditions:
            parent = position[condition.parent]
            parents.append(parent)
            masks.append(sum(1 << fields[parent].index(value) for value in condition.values))
        offsets.append(len(parents))
    header = [filled_by.get(name, -1) if stages else -1 for name in (*HEADER_NAMES, *HEAD_OPTIONS, "act")]
    stage_columns = [
        [filled_by[f"stage{number}.{name}"] for name in STAGE_NAMES]
        + [filled_by.get(f"stage{number}.{name}", filled_by.get(name, -1)) for name in STAGE_OPTIONS]
        for number in range(1, stages + 1)
    ]
    return SpaceTables(
        sizes=np.array([len(field.values) for field in fields], np.int16),
        kinds=np.array([KINDS.index(field.kind) for field in fields], np.int8),
        parts=np.array([PARTS.index(field.part) for field in fields], np.int8),
        numbers=numbers,
        condition_offsets=np.array(offsets, np.int32),
        condition_parents=np.array(parents, np.int32),
        condition_masks=np.array(masks, np.uint64),
        header_columns=np.array(header, np.int32),
        stage_columns=np.array(stage_columns, np.int32).reshape(
            stages, len(STAGE_NAMES) + len(STAGE_OPTIONS)
        ),
    )
