"""What kernels are called with, also for devices that this machine does not have."""

import weakref
from types import SimpleNamespace

import pytest
import torch

from narsfast import _native
from narsfast.ops._arguments import DTYPES, launch_context, supports

from .conftest import channels_last, operator_arguments


def map_on(device, dtype):
    return SimpleNamespace(device=torch.device(device), is_cpu=device == "cpu", dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("built", [False, True])
def test_supported_dtypes(dtype, built, monkeypatch):
    monkeypatch.setattr(_native, "cuda_built", lambda: built)
    assert supports(map_on("cpu", dtype), 3, 1) == (dtype in DTYPES["cpu"])
    assert supports(map_on("cuda", dtype), 3, 1) == (built and dtype in DTYPES["cuda"])
    assert not supports(map_on("mps", dtype), 3, 1)


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (9, 1), (3, 3)])
def test_windows_that_are_not_supported(kernel, stride):
    assert not supports(map_on("cpu", torch.float32), kernel, stride)


def refused(name, arguments, **wrong):
    """Return the error of an operator after the arguments of these numbers were replaced."""
    changed = list(arguments)
    for number, value in wrong.items():
        changed[int(number[1:])] = value
    with pytest.raises((TypeError, ValueError)) as caught:
        getattr(torch.ops.narsfast, name)(*changed)
    return str(caught.value)


def test_unsupported_arguments_raise_a_clear_error():
    infer = operator_arguments("infer")
    x, kernel, weight = infer[0], infer[1], infer[8]
    assert refused("infer", infer, _0=x.half()) == (
        "a map on cpu is torch.float16; it must be one of torch.float32, torch.bfloat16, torch.float64"
    )
    assert "x of shape (3, 8, 6, 5) has strides (240, 30, 5, 1)" in refused("infer", infer, _0=x.contiguous())
    assert refused("infer", infer, _1=kernel.double()) == "kernel must be torch.float32, not torch.float64"
    assert refused("infer", infer, _8=weight.repeat_interleave(2)[::2]) == (
        "weight must be contiguous, but has strides (2,)"
    )
    assert refused("infer", infer, _8=weight[:4].clone()) == "weight of shape (4,) must have 8 elements"
    assert refused("infer", infer, _13="gelu") == (
        "an activation is 'gelu'; it must be 'none', 'relu' or 'hard_swish'"
    )
    reduce = operator_arguments("reduce")
    d_out = reduce[0]
    assert refused("reduce", reduce, _0=d_out.bfloat16()) == (
        "d_out is torch.bfloat16 of shape (3, 8, 6, 5); it must be torch.float32 of shape (3, 8, 6, 5)"
    )
    assert refused("reduce", reduce, _0=d_out[:2]).endswith("it must be torch.float32 of shape (3, 8, 6, 5)")
    assert refused("reduce", reduce, _8=reduce[8][1:].clone()) == "state of shape (59,) must have 60 elements"


def test_map_needs_four_dimensions():
    with pytest.raises(ValueError, match=r"a map must be \(n, c, h, w\), not of shape \(8, 3\)"):
        _native.depthwise_moments(torch.empty(8, 3), None)


def test_kernels_run_on_the_current_stream_and_keep_their_memory(monkeypatch):
    device = torch.device("cuda", 1)
    given = []

    def empty(size, **options):
        assert options == {"dtype": torch.uint8, "device": device}
        memory = torch.zeros(size, dtype=torch.uint8)
        given.append(weakref.ref(memory))
        return memory

    def current_stream(of):
        assert of == device
        return SimpleNamespace(cuda_stream=77)

    monkeypatch.setattr(torch.cuda, "current_stream", current_stream)
    monkeypatch.setattr(torch, "empty", empty)
    stream, allocate = launch_context(SimpleNamespace(device=device, is_cpu=False))
    addresses = [allocate(size) for size in (16, 32)]
    assert stream == 77
    assert addresses == [memory().data_ptr() for memory in given]
    del allocate
    assert [memory() for memory in given] == [None, None]


def test_cpu_has_no_stream():
    assert launch_context(channels_last(1, 8, 2, 2)) is None


@pytest.mark.skipif(_native.cuda_built(), reason="this build has CUDA kernels")
def test_build_without_cuda_raises_error_with_remedy():
    assert not _native.has_cuda()
    y = channels_last(2, 8, 3, 3)
    with pytest.raises(
        RuntimeError, match=r"no CUDA kernels; install with -C cmake\.define\.NARSFAST_CUDA=ON"
    ):
        _native.depthwise_moments(y, (0, lambda size: 0))


@pytest.mark.skipif(
    not _native.cuda_built() or _native.has_cuda(), reason="needs CUDA kernels and no device for them"
)
def test_build_with_cuda_reports_missing_device():
    y, space = channels_last(2, 8, 3, 3), torch.empty(1024)
    with pytest.raises(RuntimeError, match="the CUDA kernel was not launched: "):
        _native.depthwise_moments(y, (0, lambda size: space.data_ptr()))
