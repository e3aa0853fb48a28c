"""Definitions of architectures: a stem, stages of rows of blocks, a head."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, ValidationError

from narsfast.common.parse_json import parse_json
from narsfast.errors import UserError
from narsfast.space import Activation, Gate

from ._row import Positive, Row, SeWidth, filled, hidden_width, refused, written

Padding = Literal["published", "half"]
"""Padding of convolutions: as the definition says, or always kernel // 2."""

PADDINGS: tuple[Padding, ...] = ("published", "half")


class Definition(BaseModel):
    """One architecture: everything that determines a network except input channels and number of classes.

    Attributes:
        name: Any text.
        resolution: Side of the square input, pixels.
        stem_channels: Width of the first convolution (3x3, stride 2).
        stages: Rows of blocks; the grouping into stages has no effect on the outputs.
        head_expansion: Width of the head's first convolution as a multiple of the last row's channels. None:
            `head_hidden` gives it, or there is no such convolution.
        head_features: Width of the head's second convolution, after the pool, the input of the classifier; None: there
            is none.
        head_hidden: Width of the head's first convolution in channels, in the place of an expansion.
        head_bias: Whether the head's second convolution has a bias.
        head_norm: Whether a norm follows the head's second convolution.
        act: Activation of the stem, the head, and rows that name none.
        se_width: Inner width of squeeze-excites where the row names none: a number of channels, or "input/4" or
            "hidden/4", a share of the block's input or hidden width rounded to a multiple of 8 (with " exact": down).
        se_act: Activation inside squeeze-excites where the row names none; None: that of the row.
        se_gate: Gate of squeeze-excites where the row names none.
        norm_eps: What the norms add to the variance.
        padding: Padding where the row gives none: "half" of the kernel on each side, or TensorFlow's "same".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    resolution: Positive
    stem_channels: Positive
    stages: tuple[tuple[Annotated[Row, BeforeValidator(filled)], ...], ...]
    head_expansion: Positive | None
    head_features: Positive | None
    head_hidden: Positive | None = None
    head_bias: StrictBool = False
    head_norm: StrictBool = False
    act: Activation = "hard_swish"
    se_width: SeWidth = "input/4"
    se_act: Activation | None = None
    se_gate: Gate = "hard_sigmoid"
    norm_eps: Annotated[float, Field(gt=0, lt=1)] = 1e-5
    padding: Literal["half", "same"] = "half"

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
        definition.check()
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

    def check(self) -> None:
        """Refuse settings that are wrong together, and kernels that do not fit their maps.

        Raises:
            UserError: One sentence with row, field and value.
        """
        for index, row in enumerate(self.rows):
            if (wrong := refused(row)) is not None:
                raise UserError(f"row {index} of definition {self.name!r}: {wrong}")
        _check_head(self)
        _check_maps(self)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, from which `from_dict` makes an equal definition.

        Optional settings at their defaults are left out.
        """
        values: dict[str, Any] = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if field.is_required() or value != field.default:
                values[name] = value
        values["stages"] = [[written(row) for row in stage] for stage in self.stages]
        return values

    def to_json(self) -> str:
        """Return readable JSON: one stage per line, or one row where rows are objects."""
        lines = []
        for key, value in self.to_dict().items():
            text = json.dumps(value)
            if key == "stages":
                text = "[\n    " + ",\n    ".join(map(_stage_json, value)) + "\n  ]"
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
    if first["type"] in ("missing", "missing_argument"):
        return f"field {where}{of} is missing"
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        known = Row._fields if len(first["loc"]) > 1 else Definition.model_fields
        return f"field {where}{of} is unknown; the fields are {', '.join(known)}"
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


def _stage_json(stage: list[Any]) -> str:
    if all(isinstance(row, list) for row in stage):
        return json.dumps(stage)
    return "[\n      " + ",\n      ".join(json.dumps(row) for row in stage) + "\n    ]"


def _check_head(definition: Definition) -> None:
    """Refuse settings of the head that are wrong together."""
    of = f"of definition {definition.name!r}"
    if definition.head_expansion is not None and definition.head_hidden is not None:
        raise UserError(
            f"head_expansion and head_hidden {of} are both given; give one of them, and null for the other"
        )
    for name in ("head_bias", "head_norm"):
        if getattr(definition, name) and definition.head_features is None:
            raise UserError(
                f"{name} {of} is true, but head_features is null; there is no convolution that has it"
            )


def _check_maps(definition: Definition) -> None:
    """Refuse a definition in which a kernel does not fit its map at the definition's own resolution and padding."""
    side = (definition.resolution - 1) // 2 + 1
    channels = definition.stem_channels
    for index, row in enumerate(definition.rows):
        of = f"row {index} of definition {definition.name!r}"
        padding = row.kernel // 2 if row.padding is None else row.padding
        left = side + 2 * padding - row.kernel
        if left < 0:
            raise UserError(
                f"{of}: kernel {row.kernel} with padding {padding} "
                f"does not fit its {side}x{side} map; enlarge the resolution or the padding"
            )
        side = left // row.stride + 1 if row.kernel else (side - 1) // row.stride + 1
        for width in (channels, row.channels)[: row.repeats]:
            if row.kind != "conv" and hidden_width(row, width) == width:
                if row.kernel == 0:
                    raise UserError(f"{of}: kernel is 0, but the width stays {width}; give an expansion")
                if row.kind == "fused" and row.se:
                    raise UserError(f"{of}: se is true, but the width stays {width}; set it false")
        channels = row.channels
