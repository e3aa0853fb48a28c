"""The space of candidates, with an exact and canonical encoding of architectures and recipes as genes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from narsfast.common.candidate import Candidate, Value, digest
from narsfast.errors import UserError

from ._build import build_fields
from ._document import Bounds, SpaceDocument, flatten, parse_document
from ._features import features_of, genes_of, width
from ._field import PARTS, Field, Part
from ._fields import plain
from ._recipe import Recipe
from ._sampling import sobol_genes, uniform_genes
from ._size import count_candidates
from ._spec import FieldSpec
from ._tables import SpaceTables, build_tables

Genes = NDArray[np.int16]
"""(n, fields) int16: n candidates, one value index per field."""
_WHOLE_KEYS = ("name", "pool", "budgets")


class Space:
    """A search space: the fields of architectures and recipes, with their values and conditions.

    Genes are (n, F) int16, one value index per field. They are canonical if every inactive field is 0. Size, keys and
    ids are those of canonical genes; every method also accepts genes that are not canonical.

    Attributes:
        name: Name of the space.
        stages: Number of MBConv stages; 0 if there is no architecture or it is not an MBConv network.
        fields: The F columns, architecture first, every field after those that it depends on.
        pool: Default bounds of the pool by statistic, (lowest, highest).
        budgets: Default budgets, each like `pool`.
    """

    def __init__(
        self,
        name: str,
        *,
        architecture: Mapping[str, Any] | None = None,
        recipe: Mapping[str, Any] | str | None = None,
        pool: Mapping[str, Any] | None = None,
        budgets: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Build a space from fields.

        Args:
            name: Name of the space.
            architecture: Fields by name, nested as in a space file (``{"resolution": Fixed(64), "stages": [...]}``). A
                field is `Categorical`, `IntRange`, `Fixed`, or in the form of a file.
            recipe: Fields likewise, or the name of a built-in recipe space.
            pool: Default bounds of the pool by statistic.
            budgets: Default budgets, each like `pool`.

        Raises:
            UserError: The fields do not describe a space; one sentence with field, value and remedy.
        """
        content = {"name": name, "architecture": architecture, "recipe": recipe, "pool": pool}
        given = {key: plain(value) for key, value in content.items() if value is not None}
        document = parse_document({**given, "budgets": plain(list(budgets))}, name)
        self._build(document, name, strict=True)

    @classmethod
    def from_document(cls, document: SpaceDocument, source: str | None = None, strict: bool = False) -> Space:
        """Build the space of a parsed document.

        Args:
            document: The space as written.
            source: File name for messages; the space's name if left out.
            strict: Refuse conditions on values that do not exist.

        Raises:
            UserError: The document does not describe a space; one sentence with field, value and remedy.
        """
        space = cls.__new__(cls)
        space._build(document, source or document.name, strict)
        return space

    def _build(self, document: SpaceDocument, source: str, strict: bool) -> None:
        self._document = document
        self.name: str = document.name
        self.stages: int = document.stages
        self.pool: Bounds = dict(document.pool)
        self.budgets: tuple[Bounds, ...] = tuple(dict(budget) for budget in document.budgets)
        self.fields: tuple[Field, ...] = build_fields(document, source, strict)
        self.sizes: NDArray[np.int16] = np.array([len(field.values) for field in self.fields], np.int16)
        self._column = {name: c for c, field in enumerate(self.fields) for name in (*field.fills, field.name)}

    def __repr__(self) -> str:
        return f"Space({self.name!r}, {len(self.fields)} fields, {self.size():.3g} candidates)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and self.fields == other.fields and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(self.fingerprint())

    # Fields

    def size(self) -> int:
        """Return the exact number of canonical candidates."""
        return count_candidates(self.fields)

    def column(self, name: str) -> int:
        """Return the column of a field, given its name or a name that it fills.

        Raises:
            UserError: There is no such field.
        """
        if name not in self._column:
            known = ", ".join(field.name for field in self.fields)
            raise UserError(f"{self.name} has no field {name!r}; its fields are {known}")
        return self._column[name]

    def has(self, name: str) -> bool:
        """Return whether there is a field of this name, or one that fills it."""
        return name in self._column

    def field(self, name: str) -> Field:
        """Return a field, given its name or a name that it fills.

        Raises:
            UserError: There is no such field.
        """
        return self.fields[self.column(name)]

    def values(self, name: str) -> tuple[Value, ...]:
        """Return all legal values of a field, in order.

        Raises:
            UserError: There is no such field.
        """
        return self.field(name).values

    def _columns(self, part: Part) -> NDArray[np.int64]:
        return np.array([c for c, field in enumerate(self.fields) if field.part == part], np.int64)

    @cached_property
    def architecture_fields(self) -> NDArray[np.int64]:
        """Columns of the architecture, (k,) int64."""
        return self._columns("architecture")

    @cached_property
    def recipe_fields(self) -> NDArray[np.int64]:
        """Columns of the recipe, (k,) int64."""
        return self._columns("recipe")

    @property
    def searches_architecture(self) -> bool:
        """Whether any architecture field has a choice."""
        return bool((self.sizes[self.architecture_fields] > 1).any())

    @property
    def searches_recipe(self) -> bool:
        """Whether any recipe field has a choice."""
        return bool((self.sizes[self.recipe_fields] > 1).any())

    @cached_property
    def _tables(self) -> SpaceTables:
        return build_tables(self.fields, self.stages)

    def tables(self) -> SpaceTables:
        """Return the space as plain arrays, for native code."""
        return self._tables

    # Genes

    def _genes(self, genes: ArrayLike) -> Genes:
        array = np.asarray(genes)
        if array.ndim != 2 or array.shape[1] != len(self.fields):
            raise ValueError(f"genes have shape {array.shape}; {self.name} needs (n, {len(self.fields)})")
        outside = (array < 0) | (array >= self.sizes)
        if outside.any():
            row, column = np.argwhere(outside)[0]
            field = self.fields[column]
            raise ValueError(
                f"gene {field.name} of row {row} is {array[row, column]}; "
                f"it must be 0 to {len(field.values) - 1}"
            )
        return array.astype(np.int16, copy=False)

    def active(self, genes: ArrayLike) -> NDArray[np.bool_]:
        """Return which fields are active for genes (n, F): (n, F) bool."""
        return self._active(self._genes(genes))

    def _active(self, genes: Genes) -> NDArray[np.bool_]:
        tables = self._tables
        active = np.ones(genes.shape, np.bool_)
        for column in np.flatnonzero(np.diff(tables.condition_offsets)):
            holds = np.zeros(len(genes), np.bool_)
            for c in range(tables.condition_offsets[column], tables.condition_offsets[column + 1]):
                parent = tables.condition_parents[c]
                bits = tables.condition_masks[c] >> genes[:, parent].astype(np.uint64)
                holds |= active[:, parent] & ((bits & np.uint64(1)) == 1)
            active[:, column] = holds
        return active

    def canonical(self, genes: ArrayLike) -> Genes:
        """Return the genes (n, F) int16 with inactive ones set to 0."""
        array = self._genes(genes)
        return np.where(self._active(array), array, np.int16(0))

    def check(self, genes: ArrayLike) -> None:
        """Refuse genes that are out of range or not canonical.

        Raises:
            ValueError: A gene is wrong; the message names field, row and gene.
        """
        array = self._genes(genes)
        wrong = array != self.canonical(array)
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            name = self.fields[column].name
            raise ValueError(
                f"gene {name} of row {row} is {array[row, column]}; it is inactive and must be 0"
            )

    def keys(self, genes: ArrayLike) -> NDArray[np.uint64]:
        """Hash the canonical genes, (n,) uint64 (FNV-1a over the columns, each mixed by a shift).

        Native code uses the same formula: h = 0xcbf29ce484222325, then for each gene g
        h = (h ^ (g + 0x9e3779b97f4a7c15)) * 0x100000001b3 and h ^= h >> 29, modulo 2**64.
        """
        canonical = self.canonical(genes).astype(np.uint64)
        keys = np.full(len(canonical), 0xCBF29CE484222325, np.uint64)
        for column in range(canonical.shape[1]):
            keys = (keys ^ (canonical[:, column] + np.uint64(0x9E3779B97F4A7C15))) * np.uint64(0x100000001B3)
            keys ^= keys >> np.uint64(29)
        return keys

    def ids(self, genes: ArrayLike) -> list[str]:
        """Return the ids of n candidates, 16 hex digits each."""
        return [candidate.id for candidate in self.decode(genes)]

    # Candidates

    def decode(self, genes: ArrayLike) -> list[Candidate]:
        """Decode genes to n candidates, which have active names only."""
        array = self._genes(genes)
        candidates = []
        for row, active in zip(array.tolist(), self._active(array).tolist(), strict=True):
            parts: dict[Part, dict[str, Value]] = {"architecture": {}, "recipe": {}}
            for field, gene, counts in zip(self.fields, row, active, strict=True):
                if counts:
                    parts[field.part].update(dict.fromkeys(field.fills, field.values[gene]))
            candidates.append(Candidate(**parts))
        return candidates

    def encode(self, candidates: Sequence[Candidate]) -> Genes:
        """Encode n candidates as canonical genes (n, F) int16.

        Raises:
            UserError: A name is unknown, missing or inactive, or a value is illegal; the message lists what is legal.
        """
        genes = np.zeros((len(candidates), len(self.fields)), np.int16)
        for row, candidate in enumerate(candidates):
            self._encode(candidate, genes[row])
        return genes

    def _encode(self, candidate: Candidate, genes: Genes) -> None:
        given = {"architecture": candidate.architecture, "recipe": candidate.recipe}
        for part, values in given.items():
            for name in values:
                if name not in self._column or self.field(name).part != part:
                    known = ", ".join(n for f in self.fields if f.part == part for n in f.fills)
                    raise UserError(f"{part} has no field {name!r} in {self.name}; its fields are {known}")
        active: dict[str, int] = {}
        for column, field in enumerate(self.fields):
            values = {name: given[field.part][name] for name in field.fills if name in given[field.part]}
            if field.conditions and not any(
                c.parent in active and self.field(c.parent).values[active[c.parent]] in c.values
                for c in field.conditions
            ):
                for name, value in values.items():
                    parents = " or ".join(c.parent for c in field.conditions)
                    raise UserError(f"{name} is {value!r}; it is inactive with this {parents}, leave it out")
                continue
            if not values:
                raise UserError(f"{field.fills[0]} is missing; it must be {field.legal()}")
            genes[column] = active[field.name] = _agreed(field, values)

    # Features

    def features(self, genes: ArrayLike, part: Part | None = None) -> NDArray[np.float32]:
        """Convert genes to features (n, D) float32.

        Categorical fields are one-hot, ranges scaled to 0 to 1, fixed fields have no column. Features of inactive fields
        are 0. The architecture's columns come first, then the recipe's.

        Args:
            genes: (n, F).
            part: Restrict the columns to this part.
        """
        array = self.canonical(genes)
        columns = np.arange(len(self.fields)) if part is None else self._columns(part)
        return features_of(self.fields, columns, array, self._active(array))

    def from_features(self, features: ArrayLike) -> Genes:
        """Return the canonical genes (n, F) int16 of features of both parts: the exact inverse of `features`."""
        array = np.asarray(features, np.float32)
        if array.ndim != 2 or array.shape[1] != len(self.feature_names()):
            raise ValueError(
                f"features have shape {array.shape}; {self.name} needs (n, {len(self.feature_names())})"
            )
        return self.canonical(genes_of(self.fields, array))

    def feature_names(self, part: Part | None = None) -> list[str]:
        """Return the names of the D feature columns: ``stage1.depth`` for a range, ``optimizer=sgd`` for a choice."""
        names = []
        for field in self.fields:
            if part in (None, field.part):
                one_hot = [f"{field.name}={value}" for value in field.values]
                names += one_hot if field.kind == "categorical" else [field.name] * width(field)
        return names

    # Samples

    def random(self, n: int, seed: int) -> Genes:
        """Draw canonical genes (n, F) int16, each field uniform over its values; duplicates are possible."""
        return self.canonical(uniform_genes(self.sizes, n, seed))

    def sobol(self, n: int, seed: int, skip: int = 0) -> Genes:
        """Return points `skip` to `skip + n` of a scrambled Sobol sequence as canonical genes (n, F) int16.

        Duplicates are possible: genes that differ only in inactive fields become equal.
        """
        return self.canonical(sobol_genes(self.sizes, n, seed, skip))

    # Other spaces

    def fix(self, values: Mapping[str, Value]) -> Space:
        """Return the space in which these fields (or names that a field fills) have one value.

        A field of a recipe that a space of networks does not have is added with its value.

        Raises:
            UserError: A field is unknown, or a value is not legal for it.
        """
        unnamed = {
            name: value
            for name, value in values.items()
            if name not in self._column and name in Recipe.model_fields and self.stages
        }
        if unnamed:
            added = self.to_dict()
            added["recipe"] |= unnamed
            known = {name: value for name, value in values.items() if name not in unnamed}
            return Space.from_document(parse_document(added, self.name)).fix(known)
        by_field: dict[str, dict[str, Value]] = {}
        for name, value in values.items():
            by_field.setdefault(self.field(name).name, {})[name] = value
        specs: dict[str, Any] = {}
        for name, given in by_field.items():
            field = self.field(name)
            specs[name] = field.values[_agreed(field, given)]
        return self.override(specs)

    def override(self, fragment: Mapping[str, Any]) -> Space:
        """Return the space with other ranges.

        Args:
            fragment: The changes, in the form of a space file, nested or with dotted names:
                ``{"stage2": {"depth": {"range": [1, 3]}}, "ema": True, "pool": {"macs": "20M"}}``. Sharing,
                conditions and a range's unit are kept unless given. Changing one name of a sharing group changes all.

        Raises:
            UserError: A field is unknown or a range illegal.
        """
        data = self.to_dict()
        names: dict[str, Any] = {}
        for key, value in plain(fragment).items():
            if key in PARTS:
                if not isinstance(value, Mapping):
                    raise UserError(f"{key} is {value!r}; it must be a mapping of fields")
                names |= flatten(value)
            elif key in _WHOLE_KEYS:
                data[key] = value
            else:
                names |= flatten({key: value})
        for name, spec in names.items():
            for filled in self.field(name).fills:
                part = data["architecture" if filled in data["architecture"] else "recipe"]
                part[filled] = _merged(self._document.specs()[filled], spec)
        return Space.from_document(parse_document(data, self.name))

    def only_architecture(self, recipe: Mapping[str, Value]) -> Space:
        """Return the space for an architecture-only search, with every recipe field fixed to `recipe`.

        Raises:
            UserError: A field is missing or unknown, or a value is not legal for it.
        """
        return self._only("recipe", recipe)

    def only_recipe(self, architecture: Mapping[str, Value]) -> Space:
        """Return the space for a recipe-only search, with every architecture field fixed to `architecture`.

        Raises:
            UserError: A field is missing or unknown, or a value is not legal for it.
        """
        return self._only("architecture", architecture)

    def _only(self, part: Part, values: Mapping[str, Value]) -> Space:
        for name in values:
            if self.field(name).part != part:
                raise UserError(f"{name} does not belong to the {part}; leave it out")
        space = self.fix(values)
        for column in space._columns(part):
            if (field := space.fields[column]).kind != "fixed":
                raise UserError(f"{field.name} is missing in the {part}; it must be {field.legal()}")
        return space

    # Storage

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, from which `from_dict` makes an equal space."""
        return self._document.dump()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Space:
        """Build a space from the result of `to_dict` or the content of a space file.

        Raises:
            UserError: The content is wrong; one sentence with field, value and remedy.
        """
        return cls.from_document(parse_document(data, str(data.get("name", "space"))))

    def fingerprint(self) -> str:
        """Hash `to_dict` and the order of the fields, on which genes depend, to 16 hex digits."""
        return digest([[field.name for field in self.fields], self.to_dict()])


def _agreed(field: Field, values: Mapping[str, Value]) -> int:
    """Return the gene of a field from the names that it fills, which must all have one value."""
    genes = {name: field.index(value) for name, value in values.items()}
    if len(set(genes.values())) > 1:
        shown = ", ".join(f"{name} is {value!r}" for name, value in values.items())
        raise UserError(f"{shown}; they share {field.name!r} and must have the same value")
    return next(iter(genes.values()))


def _merged(old: FieldSpec, new: Any) -> Any:
    """Return the new spec with the sharing and condition of the old one, and its unit if both are ranges."""
    spec = dict(new) if isinstance(new, Mapping) else {"value": new}
    if old.share is not None:
        spec.setdefault("share", old.share)
    if old.when is not None:
        spec.setdefault("when", old.when)
    if old.unit is not None and "range" in spec:
        spec.setdefault("unit", old.unit)
    return spec
