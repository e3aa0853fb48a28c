"""The pydantic schema of space files, and its one-sentence errors.

The nested form that people write is flattened to dotted names here (``stages: [{depth: 2}]`` to
``stage1.depth``). `Space.to_dict` returns the flat form; both can be read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from narsfast.common.candidate import Value
from narsfast.errors import UserError

from ._field import PARTS
from ._quantity import QUANTITY_REMEDY, parse_quantity
from ._recipe_spaces import recipe_fields
from ._spec import SPEC_KEYS, FieldSpec


def _amounts(amount: Any) -> tuple[float, float]:
    """Return (low, high); a single amount is an upper bound. Units such as M and KB are understood."""
    pair = amount if isinstance(amount, list | tuple) else [0, amount]
    if len(pair) != 2:
        raise ValueError("it must be one amount (the upper bound) or two, [lo, hi]")
    try:
        low, high = (parse_quantity(end) for end in pair)
    except UserError:
        raise ValueError(f"{QUANTITY_REMEDY}, or two of them, [lo, hi]") from None
    if low > high:
        raise ValueError("lo must not be above hi")
    return low, high


Bounds: TypeAlias = dict[str, Annotated[tuple[float, float], BeforeValidator(_amounts)]]


class ParentDocument(BaseModel):
    """A pretrained network whose children are in a space; a bare reference is short for ``{reference: ...}``.

    Attributes:
        reference: As `narsfast.load_pretrained` takes it.
        name: How fields and reports name it; that of the reference if left out.
        definition: Its definition as plain data; None before it was loaded, and of a network that takes part whole.
        source: What builds a network that takes part whole, as `narsfast.arch.create_model` takes it; None of others.
        resolution: Side of the images that a network that takes part whole was trained on, pixels; None of others.
        sha256: Of the file of its weights; None before it was loaded.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reference: str = Field(min_length=1)
    name: str = ""
    definition: dict[str, Any] | None = None
    source: str | None = None
    resolution: int | None = None
    sha256: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, data: Any) -> Any:
        given = (
            {"reference": data} if isinstance(data, str) else dict(data) if isinstance(data, Mapping) else {}
        )
        if not isinstance(given.get("reference"), str) or not given["reference"]:
            raise ValueError(
                "a parent is a reference such as efficientnet_lite0 or timm:mobilenetv3_small_050"
            )
        return {"name": parent_name(given["reference"])} | given

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if not _PARENT_NAME.fullmatch(name) or name in _RESERVED:
            raise ValueError(
                "the name of a parent has letters, digits, '_' and '-' alone, and is none of a field's"
            )
        return name

    def dump(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {name: value for name, value in self.model_dump(mode="json").items() if value is not None}


_PARENT_NAME = re.compile(r"[A-Za-z0-9_-]+")
_RESERVED = ("parent", "resolution", "stages", "stem", "head")


def parent_name(reference: str) -> str:
    """Return the name of a reference: ``mobilenetv3_small_050`` of ``timm:mobilenetv3_small_050=weights.pth``."""
    source = reference.partition("=")[0].rstrip("/")
    name = re.sub(r"\.(safetensors|pth|pt|py|json)$", "", re.split(r"[:/\\]", source)[-1])
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_").lower()


class SpaceDocument(BaseModel):
    """A space file in flat form: specs by dotted name, in the order of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, description="a string, the name of the space")
    stages: int = Field(
        0, ge=0, strict=True, description="the number of stages (list them under architecture)"
    )
    parents: tuple[ParentDocument, ...] = Field((), description="a list of references to pretrained networks")
    architecture: dict[str, FieldSpec] = Field({}, description="a mapping of fields")
    recipe: dict[str, FieldSpec] = Field({}, description="a mapping of fields")
    pool: Bounds = Field({}, description="a mapping such as {macs: [0.5M, 10M]}")
    budgets: tuple[Bounds, ...] = Field((), description="a list such as [{macs: 1M}, {macs: 2M}]")

    @property
    def has_networks(self) -> bool:
        """Whether the architectures are networks that this project builds."""
        return bool(self.stages or self.parents)

    def specs(self) -> dict[str, FieldSpec]:
        """Return all specs by name, architecture first."""
        return {**self.architecture, **self.recipe}

    def dump(self) -> dict[str, Any]:
        """Return plain JSON types, from which `parse_document` makes an equal document."""
        return {
            "name": self.name,
            "stages": self.stages,
            **({"parents": [parent.dump() for parent in self.parents]} if self.parents else {}),
            "architecture": {name: spec.dump() for name, spec in self.architecture.items()},
            "recipe": {name: spec.dump() for name, spec in self.recipe.items()},
            "pool": {name: list(bounds) for name, bounds in self.pool.items()},
            "budgets": [{name: list(bounds) for name, bounds in budget.items()} for budget in self.budgets],
        }


def parse_document(data: object, source: str) -> SpaceDocument:
    """Check and flatten the content of a space file.

    Args:
        data: Content of the YAML or JSON file, nested or flat.
        source: File or space name, for messages.

    Raises:
        UserError: The content is wrong; one sentence with field, value and remedy.
    """
    if not isinstance(data, Mapping):
        found = "empty" if data is None else _shown(data)
        raise UserError(f"{source} is {found}; a space is a mapping of name, architecture and recipe")
    data = dict(data)
    architecture = data.get("architecture")
    if isinstance(architecture, Mapping) and "stages" in architecture:
        stages = architecture["stages"]
        if not isinstance(stages, list | tuple) or not stages:
            raise UserError(f"{source}: architecture.stages is {_shown(stages)}; it must be a list of stages")
        data["stages"] = len(stages)
    if isinstance(data.get("recipe"), str):
        data["recipe"] = recipe_fields(data["recipe"], f"{source}: recipe")
    for part in PARTS:
        if isinstance(data.get(part), Mapping):
            data[part] = flatten(data[part])
    try:
        document = SpaceDocument.model_validate(data)
    except ValidationError as error:
        raise UserError(f"{source}: {_sentence(error)}") from None
    for name in document.architecture.keys() & document.recipe.keys():
        value = document.recipe[name].dump()
        raise UserError(
            f"{source}: {name} is {value!r} in the recipe; the architecture has a {name}, rename one of them"
        )
    return document


def flatten(tree: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings to dotted names and a list of stages to ``stage1``, ...; specs are kept as they are."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if name == "stages" and isinstance(value, list | tuple):
            for number, stage in enumerate(value, start=1):
                flat |= flatten({f"stage{number}": stage})
        elif isinstance(value, Mapping) and value and not value.keys() & set(SPEC_KEYS):
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat


_COMPARISON = re.compile(r"\s*(>=|<=|>|<)\s*(-?[0-9.]+(?:[eE][+-]?[0-9]+)?)\s*")
_TESTS: dict[str, Callable[[float, float], bool]] = {
    ">": lambda number, limit: number > limit,
    "<": lambda number, limit: number < limit,
    ">=": lambda number, limit: number >= limit,
    "<=": lambda number, limit: number <= limit,
}


def matching(wanted: object, values: tuple[Value, ...]) -> tuple[tuple[Value, ...], list[object]]:
    """Find the values that a ``when`` entry asks for.

    Args:
        wanted: A value, a list of values, or a comparison such as ``> 1``.
        values: All values of the parent.

    Returns:
        The matching ones of `values`, in their order; and what the entry asks for that no value matches.
    """
    comparison = _COMPARISON.fullmatch(wanted) if isinstance(wanted, str) else None
    found: tuple[Value, ...]
    if comparison is not None:
        test, limit = _TESTS[comparison.group(1)], float(comparison.group(2))
        found = tuple(value for value in values if isinstance(value, int | float) and test(value, limit))
        return found, [] if found else [wanted]
    listed = list(wanted) if isinstance(wanted, list | tuple) else [wanted]
    keys = {(isinstance(value, bool), value) for value in listed}
    found = tuple(value for value in values if (isinstance(value, bool), value) in keys)
    return found, [value for value in listed if value not in found]


def _sentence(error: ValidationError) -> str:
    """Return the first problem as one sentence: field, value, remedy."""
    first = error.errors()[0]
    location = first["loc"]
    within_spec = len(location) > 1 and location[0] in PARTS
    shown = [str(step) for step in location[int(within_spec) :] if not isinstance(step, int)]
    name, value = ".".join(shown), _shown(first["input"])
    known = FieldSpec.model_fields if within_spec else SpaceDocument.model_fields
    if first["type"] == "value_error":
        return f"{name} is {value}; {first['ctx']['error']}"
    if first["type"] == "extra_forbidden":
        return f"{name} is {value}; there is no such key here, the keys are {', '.join(known)}"
    field = known[str(location[2] if within_spec else location[0])]
    if first["type"] == "missing":
        return f"{name} is missing; give {field.description}"
    return f"{name} is {value}; it must be {field.description}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
