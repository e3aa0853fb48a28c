"""Build the fields of a space from its document: sharing groups, conditions, the order of the columns."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property

from narsfast.common.candidate import Value
from narsfast.errors import UserError

from ._children import PARENT, check_children, parent_of
from ._document import SpaceDocument, matching
from ._field import Condition, Field, Part
from ._mbconv import REST_NAMES, check_mbconv
from ._recipe import RENAMED, Recipe, recipe_remedy
from ._spec import MAX_VALUES, FieldSpec

_MAX_PARENT_VALUES = 64  # a condition is a 64-bit mask over the parent's values


def build_fields(document: SpaceDocument, source: str, strict: bool = False) -> tuple[Field, ...]:
    """Return the columns of the space: parents before their dependents, architecture before recipe.

    A condition that always holds is dropped; a field that can never be active becomes fixed.

    Args:
        document: The space as written.
        source: File or space name, for messages.
        strict: Refuse ``when`` values that the parent does not have. Meant for files: after a parent was fixed,
            such values are legitimate.

    Raises:
        UserError: The names or values do not describe a network, or sharing or conditions are contradictory.
    """
    if document.stages:
        check_mbconv(document, source)
    if document.parents:
        check_children(document, source)
    if document.has_networks:
        _check_recipe(document, source)
    builder = _Builder(document, source, strict)
    conditions = {name: builder.conditions(name) for name in builder.fields}
    return _normalized(builder.ordered(conditions), conditions)


def _check_recipe(document: SpaceDocument, source: str) -> None:
    """Check the recipe of a space of networks, which the built-in trainer reads.

    Raises:
        UserError: It has no such field, or a value is illegal.
    """
    for name, spec in document.recipe.items():
        if RENAMED.get(name, name) not in Recipe.model_fields:
            raise UserError(f"{source}: {name} is {spec.dump()!r}; {recipe_remedy(name)}")
        for value in spec.values():
            Recipe.of({name: value}, source=f"{source}: recipe")


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
            for name in others:
                self._check_shared(group, first, name)
        return {group: tuple(names) for group, names in groups.items()}

    def _check_shared(self, group: str, first: str, name: str) -> None:
        specs, recipe = self.document.specs(), self.document.recipe
        one, other = specs[first], specs[name]
        if (name in recipe) != (first in recipe):
            raise self._error(f"{name}.share is {group!r}; architecture and recipe cannot share a field")
        if (one.values(), one.kind()) != (other.values(), other.kind()):
            raise self._error(
                f"{name} is {other.dump()!r}; it shares {group!r} with {first} and must have the same "
                f"values, {one.dump()!r}"
            )

    @cached_property
    def fields(self) -> dict[str, Field]:
        """The columns without conditions, by name."""
        fields = {}
        for group, names in self.groups.items():
            spec = self.document.specs()[names[0]]
            values = self._values(names[0], spec)
            if len(values) > MAX_VALUES:
                raise self._error(f"{group} has {len(values):,} values; it must have at most {MAX_VALUES:,}")
            part: Part = "recipe" if names[0] in self.document.recipe else "architecture"
            fields[group] = Field(group, part, values, spec.kind(), names)
        return fields

    def _values(self, name: str, spec: FieldSpec) -> tuple[Value, ...]:
        """Return the values; those of the built-in recipe have the type of the schema (``dropout: 0`` is 0.0)."""
        if self.document.has_networks and name in self.document.recipe:
            known = RENAMED.get(name, name)
            return tuple(getattr(Recipe.of({name: value}), known) for value in spec.values())
        return spec.values()

    def conditions(self, group: str) -> tuple[Condition, ...]:
        """Return one condition per parent, with all activating values; none if any shared name is always active."""
        owner = {name: column for column, names in self.groups.items() for name in names}
        wanted: dict[str, set[Value]] = defaultdict(set)
        for name in self.groups[group]:
            entries = self.document.specs()[name].when or {}
            stage, _, rest = name.partition(".")
            implied = bool(self.document.stages) and rest in REST_NAMES
            if implied:
                entries = {f"{stage}.depth": "> 1"}
            elif (own := self._own_parent(name)) is not None:
                implied, entries = True, {PARENT: own}
            if not entries:
                return ()
            for parent_name, activating in entries.items():
                parent = self._parent(group, name, owner.get(parent_name, parent_name))
                values, missing = matching(activating, parent.values)
                if self.strict and missing and not implied:
                    raise self._error(
                        f"{name}.when.{parent_name} is {missing[0]!r}; it must name values of {parent_name}, "
                        f"{parent.legal()}"
                    )
                wanted[parent.name].update(values)
        return tuple(
            Condition(parent, tuple(value for value in self.fields[parent].values if value in values))
            for parent, values in wanted.items()
        )

    def _own_parent(self, name: str) -> str | None:
        """Return the pretrained network to which a field belongs, in a space of several."""
        several = len(self.document.parents) > 1 and name in self.document.architecture
        return parent_of(name) if several else None

    def _parent(self, group: str, name: str, parent_name: str) -> Field:
        """Return the field that a ``when`` entry names."""
        parent = self.fields.get(parent_name)
        named = f"{name}.when names {parent_name!r}"
        if parent is None or parent_name == group:
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
        """Sort the fields as in the file, architecture first, but every field after its parents."""
        ordered: dict[str, Field] = {}
        waiting = sorted(self.fields.values(), key=lambda field: field.part == "recipe")
        while waiting:
            ready = next((f for f in waiting if all(c.parent in ordered for c in conditions[f.name])), None)
            if ready is None:
                names = ", ".join(field.name for field in waiting)
                raise self._error(f"the when entries of {names} form a cycle; remove one of them")
            waiting.remove(ready)
            ordered[ready.name] = ready
        return list(ordered.values())


def _normalized(ordered: list[Field], conditions: dict[str, tuple[Condition, ...]]) -> tuple[Field, ...]:
    """Drop conditions that always hold, and fix fields that are never active to one value."""
    result: dict[str, Field] = {}
    never: set[str] = set()
    for field in ordered:
        own = conditions[field.name]
        always = any(
            not result[c.parent].conditions and len(c.values) == len(result[c.parent].values) for c in own
        )
        possible = tuple(c for c in own if c.values and c.parent not in never)
        if not own or always:
            result[field.name] = field
        elif possible:
            result[field.name] = replace(field, conditions=possible)
        else:
            never.add(field.name)
            impossible = (Condition(own[0].parent, ()),)
            result[field.name] = replace(field, values=field.values[:1], kind="fixed", conditions=impossible)
    return tuple(result.values())
