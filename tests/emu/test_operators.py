"""The operators on emulated kernels: Python, bindings, launch and CUDA sources together, in the memory of the CPU."""

import pytest
import torch

from narsfast import _native
from narsfast.ops import _arguments, _library

from ..ops.conftest import (
    ACTIVATIONS,
    EXCITES,
    SHAPES,
    Case,
    channels_last,
    compare,
    compare_inference,
    gradients,
    rounded,
)

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def launch_context(x):
    """Like _arguments.launch_context, with memory that is NaN."""
    kept = []

    def allocate(size):
        kept.append(torch.full((size // 4 + 1,), float("nan")))
        return kept[-1].data_ptr()

    return 0, allocate


@pytest.fixture(autouse=True)
def _emulated(emu, monkeypatch):
    for name in vars(emu):
        if name.startswith("depthwise_"):
            monkeypatch.setattr(_native, name, getattr(emu, name))
    monkeypatch.setitem(_arguments.DTYPES, "cpu", _arguments.DTYPES["cuda"])
    monkeypatch.setattr(_library, "launch_context", launch_context)
    # Outputs start as NaN.
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", SHAPES, ids=str)
def test_training_equals_float64(case, dtype, emu):
    compare(case, dtype)
    assert emu.take_counters().launches > 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", SHAPES, ids=str)
def test_inference_equals_float64(case, dtype, emu):
    compare_inference(Case(**{**case.__dict__, "training": False}), dtype)
    assert emu.take_counters().launches > 0


@pytest.mark.parametrize("act", list(ACTIVATIONS))
@pytest.mark.parametrize(("inner", "gate"), EXCITES)
@pytest.mark.parametrize("training", [True, False])
def test_activations_and_constant_statistics(act, inner, gate, training):
    case = Case(act=act, inner=inner, gate=gate, training=training, squeezed=6, before=True)
    compare(case, torch.float32)


def test_no_images():
    case = Case(n=0, squeezed=4, before=True)
    leaves = rounded(case.leaves(), torch.float32)
    found = gradients(case.fused, leaves, torch.empty(0, 16, 9, 7))
    assert found["out"].shape == (0, 16, 9, 7)
    assert not any(value.count_nonzero() for value in found.values())


def test_dtype_without_kernels_raises_a_clear_error():
    y = channels_last(2, 8, 3, 3, dtype=torch.float64)
    with pytest.raises(TypeError, match=r"a map on cuda is torch\.float64; it must be one of torch\.float32"):
        _native.depthwise_moments(y, launch_context(y))
