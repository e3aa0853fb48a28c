"""Rows: the common form of genes and definitions, from which statistics are counted."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from narsfast.errors import UserError
from narsfast.space import (
    BLOCK_KINDS,
    INPUT_QUARTER,
    STAGE_OPTIONS,
    WIDE_OPTIONS,
    Space,
    SqueezedWidth,
    Value,
)

from ._definition import Definition, Padding, check_padding
from ._row import Row

HEADER_COLUMNS = (
    "resolution",
    "stem_channels",
    "head_expansion",
    "head_features",
    "head_hidden",
    "head_bias",
    "head_norm",
)
"""Columns of `Rows.header`."""
ROW_COLUMNS = (
    "kernel",
    "expansion",
    "channels",
    "stride",
    "repeats",
    "se",
    "padding",
    "hidden",
    "kind",
    "start_kernel",
    "se_width",
)
"""Columns of `Rows.rows`."""

# Columns of SpaceTables.stage_columns.
_KERNEL_FIRST, _KERNEL_REST, _EXPANSION_FIRST, _EXPANSION_REST, _CHANNELS, _DEPTH, _STRIDE, _SE = range(8)
_ACT, _KIND, _START_KERNEL, _SE_WIDTH = range(8, 12)


class Rows(NamedTuple):
    """n architectures as integers.

    Attributes:
        header: (n, 7) int32, the columns of HEADER_COLUMNS; 0 for None and False.
        rows: (n, R, 11) int32, the columns of ROW_COLUMNS; 0 for None and False. Padding -1 is kernel // 2, as
            maps have the same sides under TensorFlow's "same" padding; kind is an index into BLOCK_KINDS; se_width the
            code of a `SqueezedWidth`, 0 without squeeze-excite. Absent rows have 0 repeats and 0 in all other columns.
    """

    header: NDArray[np.int32]
    rows: NDArray[np.int32]


def lower_definitions(definitions: Sequence[Definition], padding: Padding = "published") -> Rows:
    """Lower definitions to rows; R is the largest number of rows among them.

    Args:
        definitions: n definitions.
        padding: "published" takes each row's padding, "half" takes kernel // 2 everywhere.
    """
    published = check_padding(padding) == "published"
    most = max((len(definition.rows) for definition in definitions), default=0)
    header = np.zeros((len(definitions), len(HEADER_COLUMNS)), np.int32)
    rows = np.zeros((len(definitions), most, len(ROW_COLUMNS)), np.int32)
    for i, definition in enumerate(definitions):
        header[i] = [getattr(definition, column) or 0 for column in HEADER_COLUMNS]
        for j, row in enumerate(definition.rows):
            padded = row.padding if published and row.padding is not None else -1
            rows[i, j] = np.array(_lowered(row, padded, definition.se_width), np.int32)
    return Rows(header, rows)


def _lowered(row: Row, padding: int, se_width: int | str) -> list[int]:
    """Return the columns of a row."""
    width = SqueezedWidth.of(se_width if row.se_width is None else row.se_width).code if row.se else 0
    plain = [row.kernel, row.expansion or 0, row.channels, row.stride, row.repeats, int(row.se), padding]
    return [*plain, row.hidden or 0, BLOCK_KINDS.index(row.kind), row.start_kernel or 0, width]


def lower_genes(space: Space, genes: NDArray[np.int16]) -> Rows:
    """Lower canonical genes to rows; the numpy reference of the native function, with equal results.

    A stage becomes two rows: its first block, and the rest (absent at depth 1). Therefore R = 2 * space.stages.

    Args:
        space: A space with stages.
        genes: (n, fields) int16, canonical.

    Raises:
        UserError: The space has no MBConv stages.
    """
    require_stages(space)
    tables = space.tables()
    values = tables.numbers[np.arange(tables.numbers.shape[0]), genes]
    header = _taken(values, tables.header_columns[: len(HEADER_COLUMNS)])
    stages = _taken(values, tables.stage_columns)
    stages[..., _SE_WIDTH][:, tables.stage_columns[:, _SE_WIDTH] < 0] = INPUT_QUARTER.code
    depth = stages[..., _DEPTH]
    first = _row(stages, _KERNEL_FIRST, _EXPANSION_FIRST, stages[..., _STRIDE], np.minimum(depth, 1))
    rest = _row(stages, _KERNEL_REST, _EXPANSION_REST, np.ones_like(depth), np.maximum(depth - 1, 0))
    rows = np.stack([first, rest], axis=2).reshape(len(genes), 2 * space.stages, len(ROW_COLUMNS))
    return Rows(header.astype(np.int32), rows.astype(np.int32))


def definition_of(space: Space, genes: NDArray[np.int16]) -> list[Definition]:
    """Return the definitions of n candidates; a stage has a row for its first block and one for the rest, if any.

    Args:
        space: A space with stages; its name becomes that of the definitions.
        genes: (n, fields) int16, canonical.

    Raises:
        UserError: The space has no MBConv stages.
    """
    lowered = lower_genes(space, genes)
    stages = lowered.rows.reshape(len(genes), space.stages, 2, len(ROW_COLUMNS)).tolist()
    shared = network_settings(space)
    named = [name for name in ("act", "se_width") if space.has(name)]
    own = [
        [name for name in STAGE_OPTIONS if space.has(f"stage{number}.{name}")]
        for number in range(1, space.stages + 1)
    ]
    result = []
    for candidate, header, rows in zip(space.decode(genes), lowered.header.tolist(), stages, strict=True):
        values = candidate.architecture
        result.append(
            Definition(
                name=space.name,
                resolution=header[0],
                stem_channels=header[1],
                stages=tuple(
                    tuple(
                        _read_row(row, {name: values[f"stage{number}.{name}"] for name in names})
                        for row in stage
                        if row[4] > 0
                    )
                    for number, (stage, names) in enumerate(zip(rows, own, strict=True), start=1)
                ),
                head_expansion=header[2] or None,
                head_features=header[3] or None,
                **shared,
                **{name: values[name] for name in named},
            )
        )
    return result


def _taken(values: NDArray[np.int32], columns: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the values (n, F) of columns, (n, *columns.shape); 0 where a column is -1."""
    return np.where(columns < 0, 0, values[:, columns])


def network_settings(space: Space) -> dict[str, Any]:
    """Return the settings of a definition that all networks of a space share, those that the space names.

    Without activation and width of squeeze-excites, which may be searched.
    """
    named = {name: space.values(name)[0] for name in WIDE_OPTIONS if space.has(name)}
    settings = {
        name.replace(".", "_"): value for name, value in named.items() if name not in ("act", "se_width")
    }
    return {name: value for name, value in settings.items() if name != "head_hidden" or value}


def require_stages(space: Space) -> None:
    """Refuse a space without MBConv stages.

    Raises:
        UserError: The space has no stages.
    """
    if space.stages == 0:
        raise UserError(f"space {space.name!r} has no stages, so its architectures are not networks")


def _row(
    stages: NDArray[np.int32],
    kernel: int,
    expansion: int,
    stride: NDArray[np.int32],
    repeats: NDArray[np.int32],
) -> NDArray[np.int32]:
    """Return rows (n, S, 11) from values of stages (n, S, 12)."""
    columns = [stages[..., kernel], stages[..., expansion], stages[..., _CHANNELS], stride, repeats]
    se, none = stages[..., _SE], np.zeros_like(repeats)
    options = [stages[..., _KIND], stages[..., _START_KERNEL], se * stages[..., _SE_WIDTH]]
    row = np.stack([*columns, se, none - 1, none, *options], axis=-1)
    return np.where(repeats[..., None] > 0, row, 0)


def _read_row(row: list[int], options: dict[str, Value]) -> Row:
    """Return a row of a definition, given its columns and the options that the stage names."""
    kernel, expansion, channels, stride, repeats, se, padding = row[:7]
    plain = Row(kernel, expansion, channels, stride, repeats, bool(se), None if padding < 0 else padding)  # type: ignore[arg-type]
    return plain._replace(**{name: value or None for name, value in options.items()})  # type: ignore[arg-type]
