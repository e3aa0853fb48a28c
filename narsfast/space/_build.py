"""From a space document to its fields: sharing groups, conditions, order of the columns; and the exact size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from narsfast.errors import UserError

from ._document import FieldSpec, SpaceDocument, matching, unmatched
from ._field import Condition, Field, Part, Value
from ._mbconv import REST_NAMES
from ._recipe import Recipe

_MAX_PARENT_VALUES = 64  # a condition is a 64-bit mask over the parent's values
_MAX_VALUES = 1 << 15  # genes are int16


def build_fields(document: SpaceDocument, source: str, strict: bool = False) -> tuple[Field, ...]:
    """The columns of the space, every parent before its dependants, architecture before recipe.

    A condition that always holds is dropped; a field that can never be active becomes fixed.

    Args:
        document: the space as written.
        source: file or space name, for messages.
        strict: refuse ``when`` values that the parent does not have (a file's; later, fixing may take them away).

    Raises:
        UserError: sharing or conditions contradict themselves.
    """
    groups = _groups(document, source)
    owner = {member: group for group, members in groups.items() for member in members}
    specs = document.specs()
    fields = {}
    for group, members in groups.items():
        spec = specs[members[0]]
        values = _values(document, members[0], spec)
        if len(values) > _MAX_VALUES:
            raise UserError(f"{source}: {group} has {len(values)} values; it must have at most {_MAX_VALUES}")
        part: Part = "architecture" if members[0] in document.architecture else "recipe"
        fields[group] = Field(group, part, values, spec.kind(), members)
    conditions = {
        group: _conditions(document, group, members, owner, fields, source, strict)
        for group, members in groups.items()
    }
    ordered = _ordered(fields, conditions, source)
    return _normalised(ordered, conditions)


def _groups(document: SpaceDocument, source: str) -> dict[str, tuple[str, ...]]:
    """Members of each column, by its name, in the order of the file."""
    specs = document.specs()
    groups: dict[str, list[str]] = defaultdict(list)
    for name, spec in specs.items():
        groups[spec.share or name].append(name)
    for group, members in groups.items():
        first = specs[members[0]]
        if first.share is None and len(members) == 1:
            continue
        if group in specs:
            raise UserError(
                f"{source}: {members[-1]}.share is {group!r}; that is a field, choose another name"
            )
        for member in members[1:]:
            spec = specs[member]
            if (spec.values(), spec.kind()) != (first.values(), first.kind()):
                raise UserError(
                    f"{source}: {member} is {spec.dump()!r}; it shares {group!r} with {members[0]} and must have "
                    f"the same values, {first.dump()!r}"
                )
            if (member in document.recipe) != (members[0] in document.recipe):
                raise UserError(
                    f"{source}: {member}.share is {group!r}; architecture and recipe cannot share a field"
                )
    return {group: tuple(members) for group, members in groups.items()}


def _values(document: SpaceDocument, name: str, spec: FieldSpec) -> tuple[Value, ...]:
    """The values; those of a built-in recipe in the type of the schema (``dropout: 0`` is 0.0)."""
    if document.stages and name in document.recipe:
        return tuple(getattr(Recipe.of({name: value}), name) for value in spec.values())
    return spec.values()


def _conditions(
    document: SpaceDocument,
    group: str,
    members: Sequence[str],
    owner: dict[str, str],
    fields: dict[str, Field],
    source: str,
    strict: bool,
) -> tuple[Condition, ...]:
    """One condition a parent, with all activating values; none if any member is always active."""
    specs = document.specs()
    wanted: dict[str, set[tuple[bool, Value]]] = defaultdict(set)
    for member in members:
        entries = dict(specs[member].when or {})
        stage, _, rest = member.partition(".")
        if document.stages and rest in REST_NAMES:
            entries = {f"{stage}.depth": "> 1"}
        if not entries:
            return ()
        for parent, asked in entries.items():
            column = owner.get(parent, parent if parent in fields else None)
            if column is None or column == group:
                known = ", ".join(name for name in fields if name != group)
                raise UserError(
                    f"{source}: {member}.when names {parent!r}; it must name another field: {known}"
                )
            if (column in document.recipe) and fields[group].part == "architecture":
                raise UserError(
                    f"{source}: {member}.when names {parent!r}; an architecture field cannot depend on the recipe"
                )
            values = fields[column].values
            if len(values) > _MAX_PARENT_VALUES:
                raise UserError(
                    f"{source}: {member}.when names {parent!r}, which has {len(values)} values; "
                    f"a field that others depend on must have at most {_MAX_PARENT_VALUES}"
                )
            if strict and (missing := unmatched(asked, values)) and rest not in REST_NAMES:
                raise UserError(
                    f"{source}: {member}.when.{parent} is {missing[0]!r}; "
                    f"it must name values of {parent}: {fields[column].legal()}"
                )
            wanted[column] |= {(isinstance(value, bool), value) for value in matching(asked, values)}
    return tuple(
        Condition(parent, tuple(v for v in fields[parent].values if (isinstance(v, bool), v) in keys))
        for parent, keys in wanted.items()
    )


def _ordered(
    fields: dict[str, Field], conditions: dict[str, tuple[Condition, ...]], source: str
) -> list[Field]:
    """The order of the file, architecture first, but every field after its parents."""
    ordered: list[Field] = []
    done: set[str] = set()
    waiting = sorted(fields.values(), key=lambda field: field.part == "recipe")
    while waiting:
        ready = next((f for f in waiting if all(c.parent in done for c in conditions[f.name])), None)
        if ready is None:
            names = ", ".join(field.name for field in waiting)
            raise UserError(f"{source}: the when entries of {names} form a circle; remove one of them")
        waiting.remove(ready)
        ordered.append(ready)
        done.add(ready.name)
    return ordered


def _normalised(ordered: list[Field], conditions: dict[str, tuple[Condition, ...]]) -> tuple[Field, ...]:
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


def count_candidates(fields: Sequence[Field]) -> int:
    """The exact number of canonical candidates.

    Fields that are not connected by conditions multiply. Within a connected component, the columns are gone through
    in order, and partial candidates are counted by which of the later fields they have activated.
    """
    total = 1
    for component in _components(fields):
        total *= _count_component(component)
    return total


def _count_component(fields: Sequence[Field]) -> int:
    activates: dict[str, list[int]] = {f.name: [0] * len(f.values) for f in fields}  # bit = column, by value
    for column, field in enumerate(fields):
        for condition in field.conditions:
            parent = next(f for f in fields if f.name == condition.parent)
            for value in condition.values:
                activates[parent.name][parent.index(value)] |= 1 << column
    states = {0: 1}
    for column, field in enumerate(fields):
        following: dict[int, int] = defaultdict(int)
        for active, count in states.items():
            if field.conditions and not active >> column & 1:
                following[active] += count
            else:
                for later in activates[field.name]:
                    following[(active | later) & ~(1 << column)] += count
        states = following
    return sum(states.values())


def _components(fields: Sequence[Field]) -> Iterable[list[Field]]:
    """Fields connected by conditions, each component in column order."""
    root = {field.name: field.name for field in fields}

    def find(name: str) -> str:
        while root[name] != name:
            name = root[name]
        return name

    for field in fields:
        for condition in field.conditions:
            root[find(condition.parent)] = find(field.name)
    components: dict[str, list[Field]] = defaultdict(list)
    for field in fields:
        components[find(field.name)].append(field)
    return components.values()
