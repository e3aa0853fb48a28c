"""The operators on a CUDA device: what the emulated kernels (tests/emu) cannot show."""

import copy

import pytest
import torch
from torch import library

from narsfast import _native
from narsfast.ops import DepthwiseSE, NormArgs, norm_act, set_ops

from .conftest import (
    ACTIVATIONS,
    EXCITES,
    OPERATORS,
    SHAPES,
    Case,
    channels_last,
    compare,
    compare_inference,
    gradients,
    operator_arguments,
    rounded,
)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not (torch.cuda.is_available() and _native.has_cuda()),
        reason="needs a CUDA device and an install with -C cmake.define.NARSFAST_CUDA=ON",
    ),
]
CUDA = "cuda:0"
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
HALVES = [torch.bfloat16, torch.float16]
BLOCK = Case(n=16, c=72, h=20, w=20, kernel=5, padding=2, squeezed=16, before=True)
"""Large enough for several thread blocks per channel."""

needs_two = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")


def inputs(case, dtype=torch.float32, device=CUDA):
    """Leaves and the gradient of the output."""
    leaves = rounded(case.leaves(), dtype, device)
    d_out = torch.randn(case.fused(leaves).shape, generator=torch.Generator().manual_seed(5))
    return leaves, d_out.to(device, dtype)


def assert_same_bits(found, expected):
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [*SHAPES, BLOCK], ids=str)
def test_training_equals_float64(case, dtype):
    compare(case, dtype, CUDA)


@pytest.mark.parametrize("act", list(ACTIVATIONS))
@pytest.mark.parametrize(("inner", "gate"), EXCITES)
@pytest.mark.parametrize("training", [True, False])
def test_activations_and_constant_statistics(act, inner, gate, training):
    case = Case(
        act=act, inner=inner, gate=gate, training=training, squeezed=6, before=True, kernel=5, padding=2
    )
    compare(case, torch.float32, CUDA)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [*SHAPES, BLOCK], ids=str)
@pytest.mark.parametrize("n", [1, 9])
def test_inference_equals_float64(case, dtype, n):
    compare_inference(Case(**{**case.__dict__, "training": False, "n": n}), dtype, CUDA)


@pytest.mark.parametrize("act", list(ACTIVATIONS))
@pytest.mark.parametrize("shape", [(4, 20, 5, 3), (2, 3, 1, 1), (1, 37, 31, 17)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_norm_with_activation(act, shape, dtype):
    torch.manual_seed(0)
    leaves = {
        "y": torch.randn(shape).to(dtype),
        "weight": 1 + torch.rand(shape[1]),
        "bias": torch.rand(shape[1]),
    }
    d_out = torch.randn(shape).to(dtype)

    def plain(leaves):
        norm = (None, None, leaves["weight"], leaves["bias"], True)
        return ACTIVATIONS[act](torch.nn.functional.batch_norm(leaves["y"], *norm))

    def fused(leaves):
        y = leaves["y"].contiguous(memory_format=torch.channels_last)
        return norm_act(y, NormArgs(leaves["weight"], leaves["bias"], None, None, 1e-5, act))[0]

    exact = gradients(plain, {name: leaf.double() for name, leaf in leaves.items()}, d_out)
    found = gradients(fused, {name: leaf.to(CUDA) for name, leaf in leaves.items()}, d_out)
    for name, value in exact.items():
        tolerance = 200 * torch.finfo(dtype).eps * max(1.0, float(value.abs().max()))
        torch.testing.assert_close(found[name].cpu().double(), value, rtol=0, atol=tolerance)


def test_statistics_far_from_zero():
    y = 1000 + channels_last(16, 20, 30, 30, device=CUDA)
    mean, var = torch.ops.narsfast.moments(y)
    exact = y.double()
    torch.testing.assert_close(mean.double(), exact.mean((0, 2, 3)), rtol=3e-7, atol=0)
    torch.testing.assert_close(var.double(), exact.var((0, 2, 3), correction=0), rtol=1e-4, atol=0)


@pytest.mark.parametrize("training", [True, False])
def test_no_images(training):
    leaves, d_out = inputs(Case(n=0, squeezed=4, before=True, training=training))
    found = gradients(Case(n=0, squeezed=4, before=True, training=training).fused, leaves, d_out)
    assert found["out"].shape == (0, 16, 9, 7)
    assert all(not value.count_nonzero() for value in found.values())


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_are_bitwise_reproducible(dtype):
    leaves, d_out = inputs(BLOCK, dtype)
    expected = gradients(BLOCK.fused, leaves, d_out)
    for _ in range(5):
        assert_same_bits(gradients(BLOCK.fused, leaves, d_out), expected)


def test_on_a_side_stream():
    leaves, d_out = inputs(BLOCK)
    expected = gradients(BLOCK.fused, leaves, d_out)
    late = {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(100_000_000)  # a kernel on another stream would read the zeros
        for name, leaf in leaves.items():
            late[name].copy_(leaf)
        found = gradients(BLOCK.fused, late, d_out)
    stream.synchronize()
    assert_same_bits(found, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_captured_in_a_graph(dtype):
    leaves, d_out = inputs(BLOCK, dtype)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        gradients(BLOCK.fused, leaves, d_out)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = gradients(BLOCK.fused, leaves, d_out)
    for factor in (0.5, -2.0):
        leaves["x"].mul_(factor)
        d_out.mul_(factor)
        graph.replay()
        assert_same_bits(found, gradients(BLOCK.fused, leaves, d_out))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OPERATORS)
def test_opcheck(name, dtype):
    result = library.opcheck(getattr(torch.ops.narsfast, name), operator_arguments(name, CUDA, dtype))
    assert set(result.values()) == {"SUCCESS"}


def block():
    torch.manual_seed(0)
    return DepthwiseSE(16, 5, 2, 2, 8).to(CUDA)


def step(module, x):
    """Output, the gradients of x and of every parameter, and the buffers after a training step."""
    x = x.clone().requires_grad_()
    out = module(x)
    out.float().square().sum().backward()
    return [out.detach(), x.grad, *(p.grad for p in module.parameters()), *module.buffers()]


def assert_close(found, expected, tolerance):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def test_both_paths_train_the_same():
    fused = block()
    plain = copy.deepcopy(fused)
    set_ops(plain, "torch")
    for _ in range(3):
        x = channels_last(4, 16, 9, 8, device=CUDA)
        with torch.backends.cudnn.flags(allow_tf32=False):
            assert_close(step(fused, x), step(plain, x), 1e-4)


def test_compiled_without_graph_breaks_equals_eager():
    pytest.importorskip("triton")
    eager = block()
    module = copy.deepcopy(eager)
    x = channels_last(4, 16, 9, 8, device=CUDA)
    compiled = torch.compile(module, fullgraph=True)
    found = step(compiled, x)[:2]
    expected = step(eager, x)
    assert_close(found, expected[:2], 1e-4)
    assert_close([*(p.grad for p in module.parameters()), *module.buffers()], expected[2:], 1e-4)


@pytest.mark.parametrize("dtype", HALVES)
def test_under_autocast(dtype):
    fused = block()
    plain = copy.deepcopy(fused)
    set_ops(plain, "torch")
    x = channels_last(4, 16, 9, 8, dtype=dtype, device=CUDA)
    with torch.autocast("cuda", dtype):
        found, expected = step(fused, x), step(plain, x)
    assert found[0].dtype == dtype
    assert all(p.grad.dtype == torch.float32 for p in fused.parameters())
    for one, other in zip(found, expected, strict=True):
        scale = max(1.0, float(other.abs().max()))
        torch.testing.assert_close(one / scale, other / scale, rtol=0, atol=16 * torch.finfo(dtype).eps)


def test_float64_raises_in_operators_and_runs_plain_in_modules():
    x = channels_last(2, 16, 9, 8, dtype=torch.float64, device=CUDA)
    with pytest.raises(TypeError, match=r"a map on cuda is torch\.float64; it must be one of"):
        torch.ops.narsfast.moments(x)
    with pytest.warns(UserWarning, match=r"no fused kernels for torch\.float64 on cuda"):
        assert block().double()(x).dtype == torch.float64


def test_tensors_on_another_device_raise():
    x, kernel, *rest = operator_arguments("convolve", CUDA)
    with pytest.raises(ValueError, match="one is on cpu"):
        torch.ops.narsfast.convolve(x, kernel.cpu(), *rest)


@needs_two
def test_on_a_device_that_is_not_the_current_one():
    leaves, d_out = inputs(BLOCK)
    expected = gradients(BLOCK.fused, leaves, d_out)
    other = {name: leaf.to("cuda:1") for name, leaf in leaves.items()}
    found = gradients(BLOCK.fused, other, d_out)
    assert torch.cuda.current_device() == 0
    for name, value in expected.items():
        torch.testing.assert_close(found[name].to(CUDA), value)


@pytest.mark.slow
def test_a_map_of_more_than_two_to_the_31_elements():
    case = Case(n=1, c=64, h=1024, w=1024, squeezed=4, before=True, training=False)
    images = 2**31 // (case.c * case.h * case.w) + 1
    if torch.cuda.mem_get_info()[0] < 5 * images * case.c * case.h * case.w:
        pytest.skip("needs a device with more free memory")
    leaves = {name: leaf for name, leaf in case.leaves().items() if name != "x"}
    leaves = rounded(leaves, torch.bfloat16, CUDA)
    x = torch.empty((images, case.h, case.w, case.c), dtype=torch.bfloat16, device=CUDA).permute(0, 3, 1, 2)
    for image in x:
        image.normal_()
    with torch.no_grad():
        found = case.fused({**leaves, "x": x})
        for index in (0, images - 1):
            assert torch.equal(found[index : index + 1], case.fused({**leaves, "x": x[index : index + 1]}))
