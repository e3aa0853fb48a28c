"""What the compiled evolution refuses, whoever calls it."""

from dataclasses import replace

import numpy as np
import pytest

from narsfast import _native
from narsfast.space import Space, load_space

from .test_predictor import random_weights

OPTIONS = {
    "objectives": [],
    "seed": 0,
    "population_size": 4,
    "children": 2,
    "generations": 2,
    "epsilon": 0.0,
    "patience": 2,
    "crossover": 0.5,
    "mutation": 1.0,
}


def evolve(
    space, tables=None, sources=(), statistics=0, scorer=lambda genes: np.zeros(len(genes)), columns=()
):
    tables = space.tables() if tables is None else tables
    genes = space.random(3, 0)[:, : len(tables.sizes)].copy()
    return _native.evolve(
        tables, list(sources), statistics, scorer, list(columns), 0.0, [[]], [genes], **OPTIONS
    )


def test_space_without_fields_is_refused():
    space = Space.from_dict({"name": "one", "architecture": {"a": {"choices": [1, 2]}}, "recipe": {}})
    tables = space.tables()
    none = {name: getattr(tables, name)[:0] for name in ("sizes", "kinds", "parts", "numbers")}
    empty = replace(tables, **none, condition_offsets=tables.condition_offsets[:1])
    with pytest.raises(ValueError, match="a space with at least one field"):
        evolve(space, empty)


def larger(space, field):
    """Return the tables of a space in which one field has a value less."""
    tables = space.tables()
    sizes = tables.sizes.copy()
    sizes[field] -= 1
    return replace(tables, sizes=sizes)


def test_counter_and_predictor_are_of_the_same_space():
    """As many fields are not enough: a gene of one would be no gene of the other."""
    space = load_space("tiny")
    field = int(np.argmax(space.sizes))
    counter = _native.NetworkCounter(larger(space, field), 1, 10)
    with pytest.raises(ValueError, match="the counter is of another space"):
        evolve(space, sources=[counter], statistics=7)
    predictor = _native.Predictor(space.tables(), random_weights(space, 2, [4], [4], 1))
    numbers = space.tables().numbers.copy()
    numbers[0, 0] += 1
    for tables in (larger(space, field), replace(space.tables(), numbers=numbers)):
        with pytest.raises(ValueError, match="the predictor is of another space"):
            evolve(space, tables, scorer=predictor)
    own = _native.NetworkCounter(space.tables(), 1, 10)
    assert len(evolve(space, sources=[own], statistics=7, scorer=predictor, columns=[0, 2])) == 1
