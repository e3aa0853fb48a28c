"""The operators as torch sees them: schemas, fakes, compile, export, autocast."""

import copy

import pytest
import torch
from torch import library
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from narsfast import _native
from narsfast.ops import DepthwiseSE, _library, _modules, plain_ops, set_ops

from .conftest import OPERATORS, channels_last, operator_arguments

OPS = torch.ops.narsfast


@pytest.mark.parametrize("name", OPERATORS)
def test_opcheck(name):
    result = library.opcheck(getattr(OPS, name), operator_arguments(name))
    assert set(result.values()) == {"SUCCESS"}


def test_contiguous_map_raises():
    x = torch.randn(2, 8, 6, 5)
    with pytest.raises(ValueError, match=r"y of shape \(2, 8, 6, 5\) .* channels_last"):
        OPS.moments(x)


def test_unsupported_kernel_or_dtype_raises():
    x = channels_last(2, 8, 9, 9)
    with pytest.raises(ValueError, match="kernel must be 3, 5 or 7"):
        OPS.convolve(x, torch.randn(8, 1, 9, 9), None, None, None, None, 0.0, "none", 1, 4, 4, 4, 4)
    with pytest.raises(ValueError, match="smaller than the kernel"):
        OPS.convolve(
            *(channels_last(2, 8, 3, 3), torch.randn(8, 1, 7, 7), None, None, None, None, 0.0, "none"),
            *(1, 0, 0, 0, 0),
        )
    with pytest.raises(TypeError, match="float16"):
        OPS.moments(channels_last(2, 8, 3, 3, dtype=torch.float16))


def block(**options):
    torch.manual_seed(0)
    return DepthwiseSE(16, 5, options.get("stride", 1), 2, 8)


def run(module, x):
    x = x.clone().requires_grad_()
    out = module(x)
    out.square().sum().backward()
    return [out.detach(), x.grad, *(p.grad for p in module.parameters()), *module.buffers()]


@pytest.mark.exports
def test_compiled_without_graph_breaks_equals_eager():
    eager = block()
    compiled = copy.deepcopy(eager)
    x = channels_last(4, 16, 8, 8)
    expected = run(eager, x)
    with torch._inductor.config.patch(compile_threads=1):  # starts no processes, which would load torch again
        found = run(torch.compile(compiled, fullgraph=True), x)[:2] + run_state(compiled)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other)


def run_state(module):
    return [*(p.grad for p in module.parameters()), *module.buffers()]


@pytest.mark.exports
def test_exported_equals_eager():
    module = block().eval()
    x = channels_last(2, 16, 8, 8)
    with torch.no_grad():
        exported = torch.export.export(module, (x,))
        assert "narsfast.infer.default" in {str(node.target) for node in exported.graph.nodes}
        torch.testing.assert_close(exported.module()(x), module(x))


OTHER = {"padding": "same", "act": "silu", "inner_act": "relu6", "gate": "sigmoid", "eps": 1e-3}


@pytest.mark.exports
def test_other_functions_and_padding_are_compiled_and_exported():
    """The padding depends on the side of the map, which is constant in a program, as its batch is not."""
    torch.manual_seed(0)
    module = DepthwiseSE(16, 5, 2, squeezed=8, **OTHER).eval()
    x, other = channels_last(2, 16, 8, 9), channels_last(3, 16, 8, 9)
    compiled = torch.compile(copy.deepcopy(module), fullgraph=True, backend="eager")
    for one, two in zip(run(compiled, x), run(module, x), strict=True):
        torch.testing.assert_close(one, two)
    with torch.no_grad():
        exported = torch.export.export(module, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
        assert "narsfast.infer.default" in {str(node.target) for node in exported.graph.nodes}
        torch.testing.assert_close(exported.module()(other), module(other))


@pytest.mark.parametrize("path", ["fused", "torch"])
def test_other_functions_and_padding_have_shapes_on_meta(path):
    module = DepthwiseSE(16, 5, 2, squeezed=8, **OTHER).to("meta")
    set_ops(module, path)
    assert module(torch.empty(2, 16, 8, 9, device="meta")).shape == (2, 16, 4, 5)


class Listener(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.heard = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.heard.add(func)
        return func(*args, **(kwargs or {}))


def test_dispatch_modes_and_profiler_see_the_operators():
    x = channels_last(2, 16, 8, 8)
    with Listener() as listener:
        expected = run(block(), x)
    forward = {OPS.convolve.default, OPS.normalize.default}
    assert listener.heard >= forward | {OPS.reduce.default, OPS.convolve_gradient.default}
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        found = run(block(), x)
    assert {event.key for event in profile.key_averages()} >= {op.name() for op in forward}
    for one, other, alone in zip(expected, found, run(block(), x), strict=True):
        assert torch.equal(one, alone)
        assert torch.equal(other, alone)


@pytest.mark.filterwarnings("ignore:.*deprecated")
@pytest.mark.parametrize("gradients", [False, True])
def test_trace_has_torch_operators_only_and_any_batch(gradients):
    """It can be saved, and loaded where narsfast is not."""
    module = block().eval()
    x, other = channels_last(2, 16, 8, 8), channels_last(5, 16, 8, 8)
    with torch.set_grad_enabled(gradients):
        traced = torch.jit.trace(module, (x,))
        assert "narsfast::" not in str(traced.inlined_graph)
        torch.testing.assert_close(traced(other), module(other))


def test_parametrized_weight_is_computed():
    fused = block().eval()
    torch.nn.utils.parametrizations.weight_norm(fused.conv)
    plain = copy.deepcopy(fused)
    set_ops(plain, "torch")
    x = channels_last(2, 16, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(fused(x), plain(x))


def test_functional_call_and_deepcopy():
    module = block()
    x = channels_last(2, 16, 8, 8)
    state = {name: value * 2 for name, value in module.state_dict().items() if value.is_floating_point()}
    doubled = copy.deepcopy(module)
    doubled.load_state_dict(state, strict=False)
    module.eval(), doubled.eval()
    torch.testing.assert_close(torch.func.functional_call(module, state, (x,)), doubled(x))


@pytest.mark.parametrize("momentum", [0.1, 0.3, None])
@pytest.mark.parametrize("stride", [1, 2])
def test_both_paths_train_the_same_and_update_the_same_buffers(momentum, stride):
    fused = block(stride=stride)
    fused.norm.momentum = momentum
    plain = copy.deepcopy(fused)
    set_ops(plain, "torch")
    for _ in range(3):
        x = channels_last(4, 16, 9, 8)
        for one, other in zip(run(fused, x), run(plain, x), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    assert fused.norm.num_batches_tracked == 3
    assert fused.state_dict().keys() == plain.state_dict().keys()


def test_gradients_with_constant_statistics():
    fused = block().eval()
    plain = copy.deepcopy(fused)
    set_ops(plain, "torch")
    x = channels_last(3, 16, 6, 6)
    for one, other in zip(run(fused, x), run(plain, x), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_bfloat16_under_autocast():
    module = block()
    with torch.autocast("cpu", torch.bfloat16):
        out = module(channels_last(4, 16, 8, 8, dtype=torch.bfloat16))
    assert out.dtype == torch.bfloat16
    torch.autograd.backward(out.float().sum())
    assert all(p.grad.dtype == torch.float32 for p in module.parameters())


def test_unsupported_dtype_runs_plain_and_warns_once(recwarn):
    module = block().half()
    x = channels_last(4, 16, 8, 8, dtype=torch.float16)
    for _ in range(2):
        module(x)
    messages = [str(w.message) for w in recwarn if "no fused kernels" in str(w.message)]
    assert messages == [
        "narsfast has no fused kernels for torch.float16 on cpu, kernel 5, stride 1; plain torch runs instead"
    ]


def test_plain_operators_run_inside_plain_ops():
    module = block().eval()
    x = channels_last(1, 16, 8, 8)
    with Listener() as listener, plain_ops(module):
        module(x)
    assert not listener.heard & {OPS.infer.default, OPS.convolve.default}
    assert module.ops == "fused"


@pytest.fixture
def _fake_cuda():
    """Skip where torch asks a driver for the devices that it pretends."""
    try:
        with FakeTensorMode():
            channels_last(1, 8, 3, 3, device="cuda")
    except RuntimeError:
        pytest.skip("this torch pretends no GPU without a driver")


@pytest.mark.usefixtures("_fake_cuda")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", OPERATORS)
def test_fake_cuda_outputs_equal_those_of_the_cpu(name, dtype):
    with FakeTensorMode():
        found = getattr(OPS, name)(*operator_arguments(name, "cuda", dtype))
        expected = getattr(OPS, name)(*operator_arguments(name, "cpu", dtype))
    found, expected = ([x] if isinstance(x, torch.Tensor) else x for x in (found, expected))
    for one, other in zip(found, expected, strict=True):
        assert one.device.type == "cuda"
        assert (one.shape, one.stride(), one.dtype) == (other.shape, other.stride(), other.dtype)


@pytest.mark.usefixtures("_fake_cuda")
@pytest.mark.parametrize("built", [False, True])
def test_cuda_map_runs_the_kernels_if_they_are_built(built, monkeypatch, recwarn):
    monkeypatch.setattr(_native, "cuda_built", lambda: built)
    monkeypatch.setattr(_modules, "_reported", set())
    with FakeTensorMode(), torch.device("cuda"):
        module = block()
        for _ in range(2):
            out = module(channels_last(4, 16, 9, 8, device="cuda"))
    assert (out.device.type, out.shape) == ("cuda", (4, 16, 9, 8))
    assert ("DepthwiseSE" in type(out.grad_fn).__name__) == built
    messages = [str(w.message) for w in recwarn if "no fused kernels" in str(w.message)]
    reason = "narsfast has no fused kernels for torch.float32 on cuda, kernel 5, stride 1; plain torch runs instead"
    assert messages == ([] if built else [reason])


@pytest.mark.usefixtures("_fake_cuda")
def test_tensors_beside_a_cuda_map_must_be_on_its_device():
    operator = _library._on_map_device(lambda *_: pytest.fail("was called"))
    with FakeTensorMode():
        x, *rest = operator_arguments("convolve", "cuda")
        with pytest.raises(ValueError, match="must be on cuda:0, where the map is, but one is on cpu"):
            operator(x, rest[0].cpu(), *rest[1:])
