import copy

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from narsfast.ops import NormArgs, norm_act

from .conftest import ACTIVATIONS, EXCITES, SHAPES, Case, channels_last, compare, compare_inference, gradients


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("case", SHAPES, ids=str)
def test_training_equals_plain_torch(case, dtype, isa):
    compare(case, dtype)


@pytest.mark.parametrize("act", list(ACTIVATIONS))
@pytest.mark.parametrize(("inner", "gate"), EXCITES)
@pytest.mark.parametrize("training", [True, False])
def test_activations_and_constant_statistics(act, inner, gate, training):
    case = Case(
        act=act, inner=inner, gate=gate, training=training, squeezed=6, before=True, kernel=5, padding=2
    )
    compare(case, torch.float32)
    if not training:
        compare_inference(case, torch.float32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("case", SHAPES, ids=str)
@pytest.mark.parametrize("n", [1, 9])
def test_inference_equals_training_with_the_same_statistics(case, dtype, isa, n):
    case = Case(**{**case.__dict__, "training": False, "n": n})
    compare_inference(case, dtype)


@pytest.mark.parametrize(("channels", "squeezed"), [(515, 37), (120, 16), (33, 1), (1, 3), (64, 70)])
@pytest.mark.parametrize("n", [1, 11])
def test_gates_of_many_and_few_channels(channels, squeezed, n, isa):
    case = Case(n=n, c=channels, squeezed=squeezed, training=False)
    compare_inference(case, torch.float32)
    compare(Case(n=n + 1, c=channels, squeezed=squeezed), torch.float32)


@settings(max_examples=60, deadline=None)
@given(
    st.builds(
        Case,
        n=st.integers(2, 5),
        c=st.integers(1, 40),
        h=st.integers(3, 19),
        w=st.integers(3, 19),
        kernel=st.sampled_from([3, 5, 7]),
        stride=st.sampled_from([1, 2]),
        padding=st.tuples(*4 * [st.integers(2, 4)]),
        squeezed=st.integers(0, 9),
        before=st.booleans(),
        act=st.sampled_from(["hard_swish", "silu"]),  # the others have steeper kinks
        gate=st.sampled_from(["hard_sigmoid", "sigmoid"]),
        seed=st.integers(0, 1000),
    )
)
def test_random_shapes(case):
    # The statistics of a few values can be close to 0, and dividing by them makes any rounding large.
    _, top, bottom, left, right = case.window
    padded = case.h + top + bottom, case.w + left + right
    sides = [(side - case.kernel) // case.stride + 1 for side in padded]
    assume(case.n * sides[0] * sides[1] >= 16)
    compare(case, torch.float32)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"act": "silu", "inner": "silu", "gate": "sigmoid", "padding": (0, 1, 1, 1)},
        {"act": "relu6", "inner": "relu6", "gate": "sigmoid", "padding": (1, 1, 0, 1)},
    ],
    ids=str,
)
def test_gradcheck_of_the_float64_kernels(changes):
    case = Case(**{"n": 2, "c": 3, "h": 5, "w": 4, "stride": 2, "squeezed": 2, "before": True, **changes})
    leaves = case.leaves()
    names = list(leaves)

    def block(*values):
        return case.fused(dict(zip(names, values, strict=True)))

    inputs = tuple(leaf.requires_grad_() for leaf in leaves.values())
    assert torch.autograd.gradcheck(block, inputs)


def test_statistics_far_from_zero():
    # Constant weights keep the mean; without padding there is no border.
    for padding in (0, 1):
        case = Case(n=8, c=20, h=24, w=24, kernel=3, padding=padding, offset=1000.0, before=False)
        compare(case, torch.float32)
    y = 1000 + torch.randn(16, 20, 30, 30, generator=torch.Generator().manual_seed(0))
    y = y.contiguous(memory_format=torch.channels_last)
    mean, var = torch.ops.narsfast.moments(y)
    exact = y.double()
    torch.testing.assert_close(mean.double(), exact.mean((0, 2, 3)), rtol=3e-7, atol=0)
    torch.testing.assert_close(var.double(), exact.var((0, 2, 3), correction=0), rtol=1e-4, atol=0)


@pytest.mark.parametrize("act", list(ACTIVATIONS))
@pytest.mark.parametrize("shape", [(4, 20, 5, 3), (2, 3, 1, 1), (1, 37, 31, 17)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_norm_with_activation(act, shape, dtype, isa):
    draw = torch.Generator().manual_seed(0)
    leaves = {
        "y": torch.randn(shape, generator=draw, dtype=torch.float64),
        "weight": 1 + 0.1 * torch.randn(shape[1], generator=draw, dtype=torch.float64),
        "bias": torch.randn(shape[1], generator=draw, dtype=torch.float64),
    }

    def plain(leaves):
        y = leaves["y"]
        z = torch.nn.functional.batch_norm(y, None, None, leaves["weight"], leaves["bias"], training=True)
        return ACTIVATIONS[act](z)

    def fused(leaves):
        y = leaves["y"].contiguous(memory_format=torch.channels_last)
        return norm_act(y, NormArgs(leaves["weight"], leaves["bias"], None, None, 1e-5, act))[0]

    d_out = torch.randn(shape, generator=draw, dtype=torch.float64)
    exact = gradients(plain, leaves, d_out)
    found = gradients(fused, {name: leaf.to(dtype) for name, leaf in leaves.items()}, d_out)
    for name, value in exact.items():
        tolerance = 200 * torch.finfo(dtype).eps * max(1.0, float(value.abs().max()))
        torch.testing.assert_close(found[name].double(), value, rtol=0, atol=tolerance)


PLAIN = {
    "relu": functional.relu,
    "relu6": functional.relu6,
    "hard_swish": functional.hardswish,
    "silu": functional.silu,
}


def plain_norm(act, channels=1):
    """Return the arguments of a norm that changes nothing before its activation."""
    one, zero = torch.ones(channels), torch.zeros(channels)
    return one, zero, zero, one, 0.0, act


@pytest.mark.exports  # older versions have other slopes of hard-swish there
@pytest.mark.parametrize("act", list(PLAIN))
def test_values_and_derivatives_at_the_kinks_equal_torch(act, isa):
    y = torch.tensor([-3.0, 0.0, 3.0, 6.0, -1e4, 1e4, float("nan"), float("inf"), -float("inf")])
    y = y.view(-1, 1, 1, 1).contiguous(memory_format=torch.channels_last)
    x = y.clone().requires_grad_()
    expected = PLAIN[act](x)
    (d_expected,) = torch.autograd.grad(expected.sum(), x)
    norm, zero = plain_norm(act), torch.zeros(1)
    out = torch.ops.narsfast.normalize(y, *norm, None, None, None, None, "none", "hard_sigmoid")[0]
    torch.testing.assert_close(out, expected.detach(), equal_nan=True)
    d_y = torch.ops.narsfast.norm_gradient(torch.ones_like(y), y, *norm, zero, zero, 0.0)
    torch.testing.assert_close(d_y[:6], d_expected[:6])


def spacing(values):
    """Return the distance of the float32 numbers around float64 values."""
    near = values.float().abs()
    return (torch.nextafter(near, torch.tensor(float("inf"))) - near).double()


SWEEP = torch.cat(
    [torch.linspace(-110, 110, 40001), torch.logspace(-44, 2, 2000), -torch.logspace(-44, 2, 2000)]
)
"""Up to where the exponential of a float32 number is 0 or infinite, and numbers close to 0."""


def test_silu_is_accurate_to_a_few_units_in_the_last_place(isa):
    y = SWEEP.view(-1, 1, 1, 1).contiguous(memory_format=torch.channels_last)
    norm, zero = plain_norm("silu"), torch.zeros(1)
    out = torch.ops.narsfast.normalize(y, *norm, None, None, None, None, "none", "hard_sigmoid")[0]
    x = y.double().requires_grad_()
    exact = functional.silu(x)
    (slope,) = torch.autograd.grad(exact.sum(), x)
    exact = exact.detach()
    # Where the sigmoid has fewer digits, being below the normal numbers, its product with y has no more.
    assert bool(((out.double() - exact).abs() <= 4 * spacing(exact) + 5e-43).all())
    d_y = torch.ops.narsfast.norm_gradient(torch.ones_like(y), y, *norm, zero, zero, 0.0)
    assert float((d_y.double() - slope).abs().max()) <= 3 * torch.finfo(torch.float32).eps


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sigmoid_gates_are_accurate_to_a_few_units_in_the_last_place(dtype, isa):
    gates = SWEEP.to(dtype)
    channels = len(gates)
    y = torch.ones(1, channels, 1, 1, dtype=dtype).contiguous(memory_format=torch.channels_last)
    norm = [
        item.to(dtype) if isinstance(item, torch.Tensor) else item for item in plain_norm("none", channels)
    ]
    weight = torch.zeros(1, channels, dtype=dtype)
    excite = (weight, weight[:, 0], weight.view(channels, 1), gates, "none", "sigmoid")
    out, state = torch.ops.narsfast.normalize(y, *norm, *excite)
    found = {"value": out.flatten()}
    found["slope"] = torch.ops.narsfast.reduce(y, y, *norm, state, *excite)[6]
    exact = torch.sigmoid(gates.double())
    small = gates.abs() < 80  # above, results have fewer digits, or are 0
    for name, truth in (("value", exact), ("slope", exact * torch.sigmoid(-gates.double()))):
        error = (found[name].double() - truth).abs() / truth
        assert float(error[small].max()) <= 4 * torch.finfo(dtype).eps, name
        assert bool(((found[name] >= 0) & (found[name] <= 1)).all())


def test_gates_at_the_kinks_have_the_gradient_of_torch(isa):
    """The state is (pooled, hidden, gate), of which a gate of -3 or 3 has no slope."""
    gates = torch.tensor([-3.5, -3.0, -2.5, 0.0, 2.5, 3.0, 3.5, -3.0])
    y, d_out = (channels_last(1, 8, 2, 2) for _ in range(2))
    norm = (torch.ones(8), torch.zeros(8), torch.zeros(8), torch.ones(8), 0.0, "none")
    excite = (torch.ones(1, 8), torch.zeros(1), torch.ones(8, 1), torch.zeros(8), "none", "hard_sigmoid")
    state = torch.cat([y.mean((0, 2, 3)), torch.zeros(1), gates])
    d_expand_bias = torch.ops.narsfast.reduce(d_out, y, *norm, state, *excite)[6]
    leaf = gates.clone().requires_grad_()
    torch.autograd.backward(torch.nn.functional.hardsigmoid(leaf), (d_out * y).sum((0, 2, 3)))
    torch.testing.assert_close(d_expand_bias, leaf.grad)
    assert d_expand_bias.count_nonzero() == 3


@pytest.mark.parametrize("convolved", [False, True])
def test_statistics_if_the_first_pixel_of_a_part_is_far_from_the_others(convolved, isa):
    """Sums are shifted by a pixel at first, and by the mean so far as soon as there is one."""
    y = 1000 + torch.rand(4, 8, 320, 256, generator=torch.Generator().manual_seed(0))
    y = y.contiguous(memory_format=torch.channels_last)
    pixels = y.permute(0, 2, 3, 1).reshape(-1, 8)
    assert pixels.data_ptr() == y.data_ptr()
    pixels[128 :: len(pixels) // 32] = 0  # in the first of the chunks of 256 pixels in each of 32 parts
    if convolved:
        kernel = torch.zeros(8, 1, 3, 3)
        kernel[:, :, 1, 1] = 1
        _, mean, var = torch.ops.narsfast.convolve(
            y, kernel, None, None, None, None, 0.0, "none", 1, 1, 1, 1, 1
        )
    else:
        mean, var = torch.ops.narsfast.moments(y)
    exact = y.double()
    torch.testing.assert_close(mean.double(), exact.mean((0, 2, 3)), rtol=3e-7, atol=0)
    torch.testing.assert_close(var.double(), exact.var((0, 2, 3), correction=0), rtol=2e-4, atol=0)


def test_results_do_not_depend_on_the_number_of_threads():
    case = Case(n=16, c=72, h=20, w=20, kernel=5, padding=2, squeezed=16, before=True)
    leaves = {name: leaf.float() for name, leaf in case.leaves().items()}
    d_out = torch.randn(case.fused(leaves).shape)
    threads = torch.get_num_threads()
    results = []
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            results.append(gradients(case.fused, leaves, d_out))
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        for name, value in results[0].items():
            assert torch.equal(other[name], value), name


@pytest.mark.parametrize("stride", [1, 2])
def test_long_rows(stride):
    # Rows above 4 KiB are prefetched; of one column, and of many.
    for case in (
        Case(n=100, c=1040, h=5, w=1, stride=stride, before=True),
        Case(n=8, c=72, h=16, w=16, kernel=5, padding=2, stride=stride),
    ):
        compare(case, torch.float32)


def test_no_images():
    case = Case(n=0, squeezed=4, before=True)
    found = gradients(
        case.fused, {name: leaf.float() for name, leaf in case.leaves().items()}, torch.empty(0, 16, 9, 7)
    )
    assert found["out"].shape == (0, 16, 9, 7)
    assert float(found["kernel"].abs().max()) == 0


def test_one_value_per_channel_raises_as_in_torch():
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        Case(n=1, h=1, w=1).fused({name: leaf.float() for name, leaf in Case(n=1, h=1, w=1).leaves().items()})


def test_second_derivative_raises():
    case = Case(squeezed=4)
    leaves = {name: leaf.float().requires_grad_() for name, leaf in case.leaves().items()}
    with pytest.raises(RuntimeError, match="cannot be differentiated twice"):
        torch.autograd.grad(case.fused(leaves).sum(), leaves["x"], create_graph=True)


def test_inputs_are_not_modified():
    case = Case(squeezed=4, before=True)
    leaves = {name: leaf.float() for name, leaf in case.leaves().items()}
    before = copy.deepcopy(leaves)
    gradients(case.fused, leaves, torch.randn(3, 16, 9, 7))
    assert all(torch.equal(leaves[name], value) for name, value in before.items())
