import numpy as np
import pytest

from narsfast.cost import stage_params
from narsfast.predictor._metric import codes
from narsfast.predictor._stages import gene_rows, num_rows, stage_table
from narsfast.space import Space, load_space


def sums(space, table, genes):
    return table[gene_rows(space, codes(space, genes))].sum(axis=1)


@pytest.mark.parametrize("name", ["tiny", "mobile", "fbnetv3"])
def test_sums_are_standardized_sizes_of_stages(name):
    space = load_space(name)
    table = stage_table(space, space.random(2000, 0))
    genes = space.random(500, 1)
    params = stage_params(space, genes)
    varying = (params != params[:1]).any(axis=0)
    found = sums(space, table, genes)
    assert found.shape == (500, varying.sum())
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=0.15)
    np.testing.assert_allclose(found.std(axis=0), 1, atol=0.1)
    for own, wanted in zip(found.T, params[:, varying].T, strict=True):
        assert np.corrcoef(own, np.log1p(wanted / wanted.mean()))[0, 1] > 0.93


def test_fields_of_one_value_add_nothing():
    space = load_space("tiny")
    table = stage_table(space, space.random(300, 0))
    first = gene_rows(space, np.zeros((1, len(space.fields)), np.int16))[0]
    fixed = np.flatnonzero(space.sizes == 1)
    assert len(fixed)
    assert (table[first[fixed]] == 0).all()
    assert (table[first[fixed] + 1] == 0).all()


def test_spaces_without_stages_have_none():
    space = Space.from_dict({"name": "flat", "architecture": {"a": {"choices": [1, 2]}}, "recipe": {}})
    assert stage_table(space, space.random(9, 0)).shape == (num_rows(space), 0) == (3, 0)


def test_one_candidate_is_no_reason_to_fail():
    space = load_space("tiny")
    assert stage_table(space, space.random(1, 0)).shape == (num_rows(space), 0)


def test_every_code_of_every_field_has_a_row():
    space = load_space("tiny")
    last = gene_rows(space, space.sizes[None].astype(np.int16))[0]
    assert last[-1] == num_rows(space) - 1
    first = gene_rows(space, np.zeros((1, len(space.fields)), np.int16))[0]
    assert np.array_equal(first[1:], last[:-1] + 1)
