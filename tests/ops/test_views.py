"""How compiled functions read torch's tensors: by a C interface where torch has it, otherwise by attributes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from narsfast import _native

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def same(tensor):
    quick, plain = _native.views(tensor)
    assert quick == plain
    return quick


@pytest.mark.parametrize("dtype", DTYPES)
def test_layout_of_maps_equals_torch(dtype):
    x = torch.zeros(3, 5, 4, 2, dtype=dtype).contiguous(memory_format=torch.channels_last)[1:]
    address, supported, number, sizes, strides, contiguous, channels_last = same(x)
    assert (address, sizes, strides) == (x.data_ptr(), tuple(x.shape), x.stride())
    assert supported
    assert number == DTYPES.index(dtype)
    assert (contiguous, channels_last) == (False, True)


@given(st.lists(st.integers(0, 3), min_size=4, max_size=4), st.permutations(range(4)), st.booleans())
def test_contiguity_equals_torch(sizes, order, parameter):
    x = torch.zeros(sizes).permute(order)
    x = torch.nn.Parameter(x) if parameter else x
    *_, contiguous, channels_last = same(x)
    assert contiguous == x.is_contiguous()
    assert channels_last == x.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("tensor", [torch.zeros(3, dtype=torch.int32), torch.zeros(2, dtype=torch.bool)])
def test_other_dtypes_are_not_supported(tensor):
    assert not same(tensor)[1]


def test_small_tensors_with_gradients():
    same(torch.zeros(()))
    same(torch.zeros(4, requires_grad=True))
    same(torch.zeros(4, requires_grad=True) * 2)


def test_too_many_dimensions_raise():
    with pytest.raises(ValueError, match="a tensor has 5 dimensions; there must be at most 4"):
        _native.views(torch.zeros(1, 1, 1, 1, 1))
