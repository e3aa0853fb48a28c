"""Fields of models that are options of a run."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from .options import RUN_OPTIONS


def option_field(name: str) -> Any:
    """Return pydantic's field for an option: its default, its bounds and its description.

    Args:
        name: Of the option (`narsfast.common.options.RUN_OPTIONS`), and of the field.
    """
    option = RUN_OPTIONS[name]
    return Field(
        option.default,
        description=option.description,
        ge=option.minimum,
        le=option.maximum,
        gt=option.above,
    )
