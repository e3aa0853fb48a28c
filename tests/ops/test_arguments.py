"""What kernels are called with, also for devices that this machine does not have."""

import weakref
from types import SimpleNamespace

import pytest
import torch

from narsfast import _native
from narsfast.ops import NormArgs, norm_act
from narsfast.ops._arguments import DTYPES, launch_context, supports

from .conftest import Case, channels_last, operator_arguments


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
        "an activation is 'gelu'; it must be 'none', 'relu', 'relu6', 'hard_swish' or 'silu'"
    )
    assert refused("infer", infer, _19="tanh") == "a gate is 'tanh'; it must be 'hard_sigmoid' or 'sigmoid'"
    reduce = operator_arguments("reduce")
    d_out = reduce[0]
    assert refused("reduce", reduce, _0=d_out.bfloat16()) == (
        "d_out is torch.bfloat16 of shape (3, 8, 6, 5); it must be torch.float32 of shape (3, 8, 6, 5)"
    )
    assert refused("reduce", reduce, _0=d_out[:2]).endswith("it must be torch.float32 of shape (3, 8, 6, 5)")
    assert refused("reduce", reduce, _8=reduce[8][1:].clone()) == "state of shape (59,) must have 60 elements"


NORM = ("weight", "bias", "mean", "var")
INPUT_NORM = tuple(f"input_{name}" for name in NORM)
EXCITE = ("reduce_weight", "reduce_bias", "expand_weight", "expand_bias")


@pytest.mark.parametrize(
    ("name", "first", "group"),
    [
        ("convolve", 2, INPUT_NORM),
        ("convolve_gradient", 16, INPUT_NORM),
        ("infer", 2, INPUT_NORM),
        ("infer", 14, EXCITE),
        ("normalize", 7, EXCITE),
        ("reduce", 9, EXCITE),
    ],
)
@pytest.mark.parametrize("missing", range(4))
def test_optional_tensors_are_given_together_or_not_at_all(name, first, group, missing):
    said = refused(name, operator_arguments(name), **{f"_{first + missing}": None})
    assert said.startswith(
        f"{group[missing]} is None, but {group[3 if missing < 3 else 2]} is not; give all of "
    )
    alone = {f"_{first + number}": None for number in range(4) if number != missing}
    assert f"but {group[missing]} is not" in refused(name, operator_arguments(name), **alone)


@pytest.mark.parametrize("missing", range(4))
def test_norm_after_the_convolution_is_never_left_out(missing):
    torch.manual_seed(0)
    y, norm = channels_last(2, 8, 3, 3), [*torch.rand(4, 8), 1e-5, "none"]
    norm[missing] = None
    sums = (torch.ones(8), torch.ones(8), 18.0)
    for call in (
        lambda: _native.depthwise_normalize(y, tuple(norm), None, None),
        lambda: _native.depthwise_reduce(y, y, tuple(norm), None, None, None),
        lambda: _native.depthwise_norm_gradient(y, y, tuple(norm), sums, None),
        lambda: _native.depthwise_infer(y, torch.ones(8, 1, 3, 3), None, tuple(norm), None, (1,) * 5, None),
    ):
        with pytest.raises(ValueError, match=f"^{NORM[missing]} is None; it must be a tensor"):
            call()


@pytest.mark.parametrize("training", [True, False])
def test_public_functions_refuse_half_of_a_norm_or_of_squeeze_excite(training):
    case = Case(squeezed=4, before=True, training=training)
    leaves = {name: leaf.float() for name, leaf in case.leaves().items()}
    for name in ("weight", "bias", "in_weight", "in_bias", "reduce_bias", "expand_bias"):
        for gradients in (True, False):
            with torch.set_grad_enabled(gradients), pytest.raises(ValueError, match="is None"):
                case.fused(leaves | {name: None})
    y = leaves["x"].contiguous(memory_format=torch.channels_last)
    for weight, bias in ((leaves["weight"], None), (None, leaves["bias"]), (None, None)):
        with pytest.raises(ValueError, match="is None; it must be a tensor"):
            norm_act(y, NormArgs(weight, bias, *case.statistics(leaves["weight"])[0], 1e-5, "relu"))


@pytest.mark.parametrize("size", [0, 12, 47, 48, 50, 52])
def test_state_of_another_size_is_refused(size):
    """Three images of eight channels: a multiple of three, with at least one squeezed channel."""
    said = refused("convolve_gradient", operator_arguments("convolve_gradient"), _8=torch.zeros(size))
    assert said == (
        f"state of shape ({size},) must have 2 * channels + squeezed elements for each of 3 images of 8 channels"
    )


def test_state_belongs_to_squeeze_excite():
    gradient, reduce = operator_arguments("convolve_gradient"), operator_arguments("reduce")
    without = "is given without squeeze-excite; it must be None"
    assert without in refused("convolve_gradient", gradient, _9=None)
    assert without in refused("reduce", reduce, _9=None, _10=None, _11=None, _12=None)
    assert refused("convolve_gradient", gradient, _8=None) == "state is None; it must be a tensor"
    assert refused("reduce", reduce, _8=None) == "state is None; it must be a tensor"


@pytest.mark.parametrize("shape", [(0, 8), (0, 8, 1, 1), (4,), ()])
def test_squeezed_channels_are_at_least_one(shape):
    normalize = operator_arguments("normalize")
    said = refused("normalize", normalize, _7=torch.zeros(shape), _8=torch.zeros(0), _9=torch.zeros(8, 0))
    assert said.endswith("must be (squeezed, channels), with at least 1 squeezed channel")


@pytest.mark.parametrize("side", range(4))
@pytest.mark.parametrize("padding", [-1, 2**20 + 1, 2**31, 2**62])
def test_padding_outside_its_range_is_refused(padding, side):
    said = refused("convolve", operator_arguments("convolve"), **{f"_{9 + side}": padding})
    assert said == f"padding is {padding}; it must be at least 0 and at most 1048576"


def test_output_of_too_many_elements_is_refused():
    x = torch.empty(0, 1, 1, 1).expand(0, 2**23, 1, 1)
    kernel = torch.zeros(1, 1, 3, 3).expand(2**23, 1, 3, 3)
    with pytest.raises(ValueError, match=r"more than 2\^63 elements"):
        _native.depthwise_convolve(x, kernel, None, (1, *(4 * [2**20])), None)


@pytest.mark.parametrize(
    "shape",
    [(), (9,), (3, 3), (8, 3, 3), (24, 1, 1, 3), (8, 1, 3, 5), (8, 1, 5, 3), (4, 1, 3, 3), (8, 2, 3, 3)],
)
def test_kernel_of_another_shape_is_refused(shape):
    for name in ("convolve", "infer"):
        said = refused(name, operator_arguments(name), _1=torch.zeros(shape))
        assert said == f"kernel of shape {shape} must be (8, 1, k, k), as the map has 8 channels"


@pytest.mark.parametrize("side", ["height", "width"])
def test_kernel_fits_both_sides_of_the_padded_map(side):
    x = channels_last(2, 8, *((4, 9) if side == "height" else (9, 4)))
    with pytest.raises(ValueError, match="the padded map is smaller than the kernel"):
        _native.depthwise_convolve(x, torch.zeros(8, 1, 7, 7), None, (1, 0, 2, 2, 0), None)


@pytest.mark.parametrize("count", [7, 9])
def test_vector_has_exactly_one_element_per_channel(count):
    said = refused("normalize", operator_arguments("normalize"), _1=torch.zeros(count))
    assert said == f"weight of shape ({count},) must have 8 elements"


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
