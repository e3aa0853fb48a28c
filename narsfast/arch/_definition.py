"""Definitions of architectures: a stem, stages of rows of inverted residual blocks, a head."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictInt, ValidationError

from narsfast.common.parse_json import parse_json
from narsfast.errors import UserError

Padding = Literal["published", "half"]
"""Padding of depthwise convolutions: that of the row, or always kernel // 2."""

PADDINGS: tuple[Padding, ...] = ("published", "half")


def _odd(kernel: int) -> int:
    if kernel % 2 == 0:
        raise ValueError("should be odd")
    return kernel


Positive = Annotated[StrictInt, Field(gt=0, lt=2**31)]


class Row(NamedTuple):
    """A row of `repeats` inverted residual blocks; the first has the row's stride and padding, others stride 1."""

    kernel: Annotated[Positive, AfterValidator(_odd)]
    expansion: Positive
    channels: Positive
    stride: Literal[1, 2]
    repeats: Positive
    se: StrictBool
    padding: Annotated[StrictInt, Field(ge=0, lt=2**31)] | None = None
    """Padding of the first block's depthwise convolution; None = kernel // 2."""


class Definition(BaseModel):
    """One architecture: everything that determines a network except input channels and number of classes.

    Attributes:
        name: Any text.
        resolution: Side of the square input, pixels.
        stem_channels: Width of the first convolution (3x3, stride 2).
        stages: Rows of blocks; the grouping into stages has no effect on the outputs.
        head_expansion: Width of the head's first convolution as a multiple of the last row's channels.
        head_features: Width of the head's second convolution, the input of the classifier.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    resolution: Positive
    stem_channels: Positive
    stages: tuple[tuple[Row, ...], ...]
    head_expansion: Positive
    head_features: Positive

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows of all stages, in order."""
        return tuple(row for stage in self.stages for row in stage)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Definition":
        """Check and build a definition.

        Raises:
            UserError: A field is missing, unknown or wrong, or a kernel does not fit its map.
        """
        try:
            definition = cls.model_validate(dict(data))
        except ValidationError as error:
            raise UserError(_sentence(error, data.get("name"))) from None
        _check_maps(definition)
        return definition

    @classmethod
    def from_json(cls, text: str) -> "Definition":
        """Parse what `to_json` wrote.

        Raises:
            UserError: The text is not JSON, or as for `from_dict`.
        """
        data = parse_json(text, "the definition")
        if not isinstance(data, dict):
            raise UserError(f"a definition should be a JSON object, not {type(data).__name__}")
        return cls.from_dict(data)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, from which `from_dict` makes an equal definition."""
        return self.model_dump(mode="json")

    def to_json(self) -> str:
        """Return readable JSON, one stage per line."""
        lines = []
        for key, value in self.to_dict().items():
            text = json.dumps(value)
            if key == "stages":
                text = "[\n    " + ",\n    ".join(json.dumps(stage) for stage in value) + "\n  ]"
            lines.append(f"  {json.dumps(key)}: {text}")
        return "{\n" + ",\n".join(lines) + "\n}\n"


def read_definition(path: str | Path) -> Definition:
    """Read a definition's JSON file.

    Raises:
        UserError: The file cannot be read or does not contain a definition.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the definition {str(path)!r} cannot be read: {error}") from None
    return Definition.from_json(text)


def check_padding(padding: str) -> Padding:
    """Return the padding mode.

    Raises:
        UserError: There is no such mode; the message lists all.
    """
    for known in PADDINGS:
        if padding == known:
            return known
    raise UserError(f"padding is {padding!r}; it should be one of {', '.join(PADDINGS)}")


def _sentence(error: ValidationError, name: object) -> str:
    """Return the first of pydantic's errors as one sentence with field and value."""
    first = error.errors(include_url=False)[0]
    of = f" of definition {name!r}" if isinstance(name, str) else ""
    where = _where(first["loc"])
    if first["type"] == "missing":
        return f"field {where}{of} is missing"
    if first["type"] == "extra_forbidden":
        return f"field {where}{of} is unknown; the fields are {', '.join(Definition.model_fields)}"
    message = first["msg"].removeprefix("Value error, ")
    return f"field {where}{of} is {first['input']!r}: {message[0].lower()}{message[1:]}"


def _where(location: tuple[int | str, ...]) -> str:
    """Format a location, with names for the columns of a row: stages[0][1].kernel."""
    text = ""
    for depth, part in enumerate(location):
        if depth == 3 and isinstance(part, int) and part < len(Row._fields):
            text += f".{Row._fields[part]}"
        elif isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def _check_maps(definition: Definition) -> None:
    """Refuse a definition in which a kernel does not fit its map at the definition's own resolution and padding."""
    side = (definition.resolution - 1) // 2 + 1
    for index, row in enumerate(definition.rows):
        padding = row.kernel // 2 if row.padding is None else row.padding
        left = side + 2 * padding - row.kernel
        if left < 0:
            raise UserError(
                f"row {index} of definition {definition.name!r}: kernel {row.kernel} with padding {padding} "
                f"does not fit its {side}x{side} map; enlarge the resolution or the padding"
            )
        side = left // row.stride + 1
