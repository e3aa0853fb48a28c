"""Rows of a definition: equal blocks, as a list of seven values or as an object of named ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictInt

from narsfast.space import Activation, BlockKind, Gate, SqueezedWidth, round_width


def _odd(kernel: int) -> int:
    if kernel % 2 == 0:
        raise ValueError("should be odd")
    return kernel


def _odd_or_none(kernel: int) -> int:
    if kernel and kernel % 2 == 0:
        raise ValueError("should be odd, or 0 for no depthwise convolution")
    return kernel


def _squeezed(width: Any) -> Any:
    if width is not None:
        SqueezedWidth.of(width)
    return width


Positive = Annotated[StrictInt, Field(gt=0, lt=2**31)]
NonNegative = Annotated[StrictInt, Field(ge=0, lt=2**31)]
SeWidth = Annotated[int | str, BeforeValidator(_squeezed)]


class Row(NamedTuple):
    """A row of `repeats` blocks; the first has the row's stride and padding, the others have stride 1.

    Settings from `act` on may be None: the definition's own are used.
    """

    kernel: Annotated[NonNegative, AfterValidator(_odd_or_none)]
    """Of the depthwise convolution, 0 for none; of kinds "fused" and "conv" that of the dense convolution."""
    expansion: Positive | None
    """Hidden width as a multiple of the input's; None where `hidden` gives it, and in rows of kind "conv"."""
    channels: Positive
    stride: Literal[1, 2]
    repeats: Positive
    se: StrictBool
    padding: NonNegative | None = None
    """Padding of the first block's convolution with `kernel`; None = as the definition says."""
    hidden: Positive | None = None
    """Hidden width in channels, in the place of an expansion."""
    kind: BlockKind = "mbconv"
    """The kind of the blocks.

    "mbconv": 1x1 expansion (none if it would not change the width), depthwise convolution, 1x1 projection.
    "fused": a dense convolution with the kernel expands, and a 1x1 one projects; where the width does not change, one
    dense convolution to `channels`. "conv": one dense convolution with norm and activation, and no shortcut.
    """
    start_kernel: Annotated[Positive, AfterValidator(_odd)] | None = None
    """Kernel of a depthwise convolution with norm before the expansion (MobileNetV4); None for none."""
    act: Activation | None = None
    se_width: SeWidth | None = None
    se_act: Activation | None = None
    se_gate: Gate | None = None


LISTED = 7
"""Values of a row that is written as a list."""

_OPTIONAL: dict[str, Any] = {"expansion": None, "stride": 1, "repeats": 1, "se": False}


def filled(row: Any) -> Any:
    """Return what was read as a row with all that an object may leave out."""
    if isinstance(row, Mapping):
        return {**_OPTIONAL, **row}
    if isinstance(row, list | tuple) and not isinstance(row, Row) and len(row) > LISTED:
        raise ValueError(f"should have {LISTED} values as a list; write it as an object to name others")
    return row


def written(row: Row) -> list[Any] | dict[str, Any]:
    """Return a row in JSON types: a list where the first seven values say all, else an object of what is set."""
    defaults = Row._field_defaults | _OPTIONAL
    named = {name: value for name, value in row._asdict().items() if value != defaults.get(name, value)}
    if row.expansion is not None and not named.keys() - Row._fields[:LISTED]:
        return list(row[:LISTED])
    return {name: value for name, value in row._asdict().items() if name in named or name not in defaults}


def refused(row: Row) -> str | None:
    """Return what is wrong with the settings of a row together, as the end of a sentence; None if nothing is."""
    plain, none = row.kind == "conv", row.kernel == 0
    start, expansion, hidden = row.start_kernel, row.expansion, row.hidden
    kind = f'in a row of kind "{row.kind}"'
    wrong = (
        (plain and expansion is not None, f"expansion is {expansion} {kind}; leave it out, there is none"),
        (plain and hidden is not None, f"hidden is {hidden} {kind}; leave it out, there is no hidden width"),
        (plain and row.se, f"se is true {kind}; it should be false"),
        (
            not plain and expansion is hidden is None,
            "expansion and hidden are both missing; give one of them",
        ),
        (None not in (expansion, hidden), "expansion and hidden are both given; give one of them"),
        (none and row.kind != "mbconv", f"kernel is 0 {kind}; it should be odd"),
        (start and row.kind != "mbconv", f'start_kernel is {start} {kind}; only "mbconv" has one'),
        (
            none and row.se,
            "se is true and kernel 0; squeeze-excite follows a depthwise convolution, give a kernel",
        ),
        (none and row.padding is not None, f"padding is {row.padding} and kernel 0; leave the padding out"),
        (none and row.stride > 1 and not start, f"stride is {row.stride} and kernel 0; give a start_kernel"),
    )
    return next((sentence for holds, sentence in wrong if holds), None)


def hidden_width(row: Row, in_channels: int) -> int:
    """Return the hidden width of a block of the row; of a plain convolution that of its input."""
    if row.hidden is not None:
        return row.hidden
    return in_channels if row.expansion is None else round_width(in_channels * row.expansion)
