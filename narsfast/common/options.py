"""How an option of a run is described: once, for the command line, for `narsfast.search` and for the documentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

DATA = "Data"
SPACE = "Space and budgets"
SEARCH = "Search"
TRAINING = "Training"
BASELINES = "Baselines and distillation"
MACHINE = "Machine"


@dataclass(frozen=True)
class Shown:
    """How a field of a configuration is shown as an option: metadata inside `typing.Annotated`.

    Attributes:
        panel: heading that the option stands under.
        metavar: what its value is called; None is by its type.
        unset: what holds where the option is not given and its default is None.
    """

    panel: str
    metavar: str | None = None
    unset: str = ""


@dataclass(frozen=True)
class RunOption:
    """One option of a run.

    Attributes:
        name: keyword of `narsfast.pipeline.resolve_config`.
        type: of its value.
        default: what holds where it is not given.
        description: one or two sentences that end with a period.
        panel: heading that it stands under.
        metavar: what its value is called; None is by its type.
        unset: what a default of None stands for.
        minimum: smallest value; None is no bound, or one that the value itself may not have.
        maximum: largest value, likewise.
    """

    name: str
    type: Any
    default: Any
    description: str
    panel: str
    metavar: str | None = None
    unset: str = ""
    minimum: float | None = None
    maximum: float | None = None

    def stated_default(self) -> str:
        """Return the default in words; empty where the option is off unless it is given."""
        if self.default is None or self.default == ():
            return self.unset
        return str(self.default)


def field_options(model: type[BaseModel]) -> dict[str, RunOption]:
    """Return the options that the annotated fields of a model are, by name.

    Args:
        model: whose fields have a description, and one `Shown` each among their metadata.
    """
    found = {}
    for name, field in model.model_fields.items():
        (shown,) = (data for data in field.metadata if isinstance(data, Shown))
        bounds = {key: getattr(data, key) for data in field.metadata for key in ("ge", "le") if hasattr(data, key)}
        found[name] = RunOption(
            name,
            field.annotation,
            field.default,
            str(field.description),
            shown.panel,
            shown.metavar,
            shown.unset,
            bounds.get("ge"),
            bounds.get("le"),
        )
    return found
