"""From a space document to its fields: sharing groups, conditions, the order of the columns."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property

from narsfast.common.candidate import Value
from narsfast.errors import UserError

from ._document import SpaceDocument, matching
from ._field import Condition, Field, Part
from ._mbconv import REST_NAMES, check_mbconv
from ._recipe import RENAMED, Recipe
from ._spec import FieldSpec

_MAX_PARENT_VALUES = 64  # a condition is a 64-bit mask over the parent's values
_MAX_VALUES = (1 << 15) - 1  # genes and sizes are int16


def build_fields(document: SpaceDocument, source: str, strict: bool = False) -> tuple[Field, ...]:
    """The columns of the space, every parent before its dependants, architecture before recipe.

    A condition that always holds is dropped; a field that can never be active becomes fixed.

    Args:
        document: the space as written.
        source: file or space name, for messages.
        strict: refuse ``when`` values that the parent does not have. For files; fixing a parent later may
            take them away rightly.

    Raises:
        UserError: the names or values make no network, or sharing or conditions contradict themselves.
    """
    if document.stages:
        check_mbconv(document, source)
    builder = _Builder(document, source, strict)
    conditions = {name: builder.conditions(name) for name in builder.fields}
    return _normalized(builder.ordered(conditions), conditions)


@dataclass
class _Builder:
    document: SpaceDocument
    source: str
    strict: bool

    def _error(self, sentence: str) -> UserError:
        return UserError(f"{self.source}: {sentence}")

    @cached_property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """Names that each column fills, by the column's name, in the order of the file."""
        specs = self.document.specs()
        groups: dict[str, list[str]] = defaultdict(list)
        for name, spec in specs.items():
            if spec.share in specs:
                raise self._error(
                    f"{name}.share is {spec.share!r}; that is a field, choose another group name"
                )
            groups[spec.share or name].append(name)
        for group, (first, *others) in groups.items():
            for member in others:
                self._check_shared(group, first, member)
        return {group: tuple(members) for group, members in groups.items()}

    def _check_shared(self, group: str, first: str, member: str) -> None:
        specs, recipe = self.document.specs(), self.document.recipe
        one, other = specs[first], specs[member]
        if (member in recipe) != (first in recipe):
            raise self._error(f"{member}.share is {group!r}; architecture and recipe cannot share a field")
        if (one.values(), one.kind()) != (other.values(), other.kind()):
            raise self._error(
                f"{member} is {other.dump()!r}; it shares {group!r} with {first} and must have the same "
                f"values, {one.dump()!r}"
            )

    @cached_property
    def fields(self) -> dict[str, Field]:
        """The columns without conditions, by name."""
        fields = {}
        for group, members in self.groups.items():
            spec = self.document.specs()[members[0]]
            values = self._values(members[0], spec)
            if len(values) > _MAX_VALUES:
                raise self._error(f"{group} has {len(values)} values; it must have at most {_MAX_VALUES}")
            part: Part = "recipe" if members[0] in self.document.recipe else "architecture"
            fields[group] = Field(group, part, values, spec.kind(), members)
        return fields

    def _values(self, name: str, spec: FieldSpec) -> tuple[Value, ...]:
        """The values; those of a built-in recipe in the type of the schema (``dropout: 0`` is 0.0)."""
        if self.document.stages and name in self.document.recipe:
            known = RENAMED.get(name, name)
            return tuple(getattr(Recipe.of({name: value}), known) for value in spec.values())
        return spec.values()

    def conditions(self, group: str) -> tuple[Condition, ...]:
        """One condition a parent, with all activating values; none if any member is always active."""
        owner = {member: name for name, members in self.groups.items() for member in members}
        wanted: dict[str, set[Value]] = defaultdict(set)
        for member in self.groups[group]:
            entries = self.document.specs()[member].when or {}
            stage, _, rest = member.partition(".")
            implied = bool(self.document.stages) and rest in REST_NAMES
            if implied:
                entries = {f"{stage}.depth": "> 1"}
            if not entries:
                return ()
            for named, asked in entries.items():
                parent = self._parent(group, member, owner.get(named, named))
                values, missing = matching(asked, parent.values)
                if self.strict and missing and not implied:
                    raise self._error(
                        f"{member}.when.{named} is {missing[0]!r}; it must name values of {named}, "
                        f"{parent.legal()}"
                    )
                wanted[parent.name].update(values)
        return tuple(
            Condition(name, tuple(value for value in self.fields[name].values if value in values))
            for name, values in wanted.items()
        )

    def _parent(self, group: str, member: str, name: str) -> Field:
        """The field that a ``when`` entry names."""
        parent = self.fields.get(name)
        named = f"{member}.when names {name!r}"
        if parent is None or name == group:
            known = ", ".join(other for other in self.fields if other != group)
            raise self._error(f"{named}; it must name another field: {known}")
        if parent.part == "recipe" and self.fields[group].part == "architecture":
            raise self._error(f"{named}; an architecture field cannot depend on the recipe")
        if len(parent.values) > _MAX_PARENT_VALUES:
            raise self._error(
                f"{named}, which has {len(parent.values)} values; a field that others depend on must have at "
                f"most {_MAX_PARENT_VALUES}"
            )
        return parent

    def ordered(self, conditions: dict[str, tuple[Condition, ...]]) -> list[Field]:
        """The order of the file, architecture first, but every field after its parents."""
        ordered: dict[str, Field] = {}
        waiting = sorted(self.fields.values(), key=lambda field: field.part == "recipe")
        while waiting:
            ready = next((f for f in waiting if all(c.parent in ordered for c in conditions[f.name])), None)
            if ready is None:
                names = ", ".join(field.name for field in waiting)
                raise self._error(f"the when entries of {names} form a circle; remove one of them")
            waiting.remove(ready)
            ordered[ready.name] = ready
        return list(ordered.values())


def _normalized(ordered: list[Field], conditions: dict[str, tuple[Condition, ...]]) -> tuple[Field, ...]:
    """Conditions that always hold are dropped, fields that are never active get one value."""
    result: dict[str, Field] = {}
    never: set[str] = set()
    for field in ordered:
        mine = conditions[field.name]
        always = any(
            not result[c.parent].conditions and len(c.values) == len(result[c.parent].values) for c in mine
        )
        possible = tuple(c for c in mine if c.values and c.parent not in never)
        if not mine or always:
            result[field.name] = field
        elif possible:
            result[field.name] = replace(field, conditions=possible)
        else:
            never.add(field.name)
            gone = (Condition(mine[0].parent, ()),)
            result[field.name] = replace(field, values=field.values[:1], kind="fixed", conditions=gone)
    return tuple(result.values())
