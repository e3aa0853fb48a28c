"""The native rows and statistics against their numpy twins, and what they refuse."""

import numpy as np
import pytest

from narsfast import _native
from narsfast.arch import lower_definitions, lower_genes, zoo
from narsfast.cost import count_rows_reference
from narsfast.space import builtin_spaces, load_space


def arguments(space):
    tables = space.tables()
    return tables.numbers, tables.header_columns, tables.stage_columns


@pytest.mark.parametrize("name", builtin_spaces())
def test_lower_equals_its_twin(name):
    space = load_space(name)
    genes = space.random(500, seed=7)
    header, rows = _native.lower(*arguments(space), genes)
    twin = lower_genes(space, genes)
    assert header.dtype == rows.dtype == np.int32
    assert np.array_equal(header, twin.header)
    assert np.array_equal(rows, twin.rows)


@pytest.mark.parametrize("candidates", [0, 1, 255, 256, 257, 700])
def test_counting_genes_equals_counting_their_rows(candidates):
    """Around the size of a slice."""
    space = load_space("mobile")
    genes = space.random(candidates, seed=candidates)
    header, rows = _native.lower(*arguments(space), genes)
    whole = _native.count_genes(*arguments(space), genes, 3, 12)
    assert np.array_equal(whole, _native.count(header, rows, 3, 12))
    assert np.array_equal(whole, count_rows_reference(lower_genes(space, genes), 3, 12))


def test_genes_outside_the_space_are_refused():
    space = load_space("tiny")
    genes = space.random(3, seed=0)
    for gene in (-1, 1000):
        wrong = genes.copy()
        wrong[1, 2] = gene
        with pytest.raises(ValueError, match="outside"):
            _native.count_genes(*arguments(space), wrong, 3, 10)
    with pytest.raises(ValueError, match="genes must be"):
        _native.lower(*arguments(space), genes[:, 1:].copy())


def test_columns_outside_the_fields_are_refused():
    space = load_space("tiny")
    numbers, header_columns, stage_columns = arguments(space)
    with pytest.raises(ValueError, match="column"):
        _native.lower(numbers, header_columns - 100, stage_columns, space.random(1, seed=0))


def test_rows_that_cannot_be_counted_are_refused():
    header, rows = lower_definitions([zoo()["FBNetV3_A0"]])
    for column in (1, 3):
        wrong = rows.copy()
        wrong[0, 0, column] = 0
        with pytest.raises(ValueError, match="at least 1"):
            _native.count(header, wrong, 3, 1000)
    with pytest.raises(ValueError, match="header"):
        _native.count(header[:, :3].copy(), rows, 3, 1000)
    with pytest.raises(ValueError, match="rows"):
        _native.count(header, rows[:, :, :6].copy(), 3, 1000)


def test_other_types_are_refused():
    space = load_space("tiny")
    with pytest.raises(TypeError):
        _native.lower(*arguments(space), space.random(2, seed=0).astype(np.int64))
