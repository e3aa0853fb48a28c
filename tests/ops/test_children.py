"""Fused blocks compute what their children would: hooks are called, and replaced children are honored."""

import copy
import io

import pytest
import torch
from torch import nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
)
from torch.nn.utils import parametrizations, prune
from torch.utils._python_dispatch import TorchDispatchMode

from narsfast.ops import Conv2dPadded, Conv2dSame, DepthwiseSE, plain_ops, set_ops

from .conftest import channels_last


def block(squeezed=8):
    """Return a block in evaluation with weights for which every child matters."""
    torch.manual_seed(0)
    module = DepthwiseSE(16, 3, squeezed=squeezed).eval()
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.2, 1.5)
        for tensor in module.se.parameters():
            tensor.normal_(0, 0.3)
    return module


X = channels_last(2, 16, 8, 8)


class Kernels(TorchDispatchMode):
    """Counts the operators of narsfast that run."""

    calls = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls += func.namespace == "narsfast"
        return func(*args, **(kwargs or {}))


def is_fused(module):
    with torch.no_grad(), Kernels() as kernels:
        module(X)
    return kernels.calls > 0


def plain(module, x=X):
    twin = copy.deepcopy(module)
    set_ops(twin, "torch")
    return twin(x)


def leaves(module):
    return {name: part for name, part in module.named_modules() if not list(part.children())}


def forward_hook(part, seen):
    return part.register_forward_hook(lambda *_: seen.append(part))


def pre_hook(part, seen):
    return part.register_forward_pre_hook(lambda *_: seen.append(part))


def backward_hook(part, seen):
    return part.register_full_backward_hook(lambda *_: seen.append(part))


def backward_pre_hook(part, seen):
    return part.register_full_backward_pre_hook(lambda *_: seen.append(part))


@pytest.mark.parametrize("register", [forward_hook, pre_hook, backward_hook, backward_pre_hook])
@pytest.mark.parametrize("squeezed", [None, 8])
def test_hooks_of_every_leaf_are_called_until_they_are_removed(register, squeezed):
    module, seen = block(squeezed), []
    assert is_fused(module)
    parts = leaves(module)
    for name, part in parts.items():
        handle = register(part, seen)
        assert not is_fused(module)
        seen.clear()
        module(X.clone().requires_grad_()).sum().backward()
        assert seen == [part], name
        handle.remove()
        assert is_fused(module)


def test_output_that_a_hook_returns_is_used():
    module = block()
    module(X)
    module.norm.register_forward_hook(lambda _, inputs, output: 2 * output)
    expected = module.se(module.act(2 * nn.functional.batch_norm(
        module.conv(X), module.norm.running_mean, module.norm.running_var, module.norm.weight, module.norm.bias
    )))  # fmt: skip
    torch.testing.assert_close(module(X), expected)


@pytest.mark.parametrize(
    "register",
    [register_module_forward_hook, register_module_forward_pre_hook, register_module_full_backward_hook],
)
def test_global_hooks_see_every_module(register):
    module, seen = block(), set()
    module(X)
    handle = register(lambda part, *_: seen.add(part))
    try:
        module(X.clone().requires_grad_()).sum().backward()
    finally:
        handle.remove()
    assert seen == set(module.modules())
    assert is_fused(module)


@pytest.mark.parametrize("again", [copy.deepcopy, copy.copy, "pickled"], ids=["deep", "flat", "file"])
def test_copies_have_the_hooks_and_examine_themselves(again):
    again = pickled if again == "pickled" else again
    module = block()
    module(X)
    twin = again(module)
    assert is_fused(twin)
    handle = module.act.register_forward_hook(double)
    hooked = again(module)
    expected = module(X)
    torch.testing.assert_close(hooked(X), expected)
    handle.remove()
    if again is not copy.copy:
        torch.testing.assert_close(hooked(X), expected)
    assert not torch.allclose(module(X), expected)


def double(module, inputs, output):
    return 2 * output


def pickled(module):
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def sized(norm):
    """Return a norm with statistics and parameters that matter."""
    for tensor in norm.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.2, 1.5)
    return norm.eval()


def conv(**options):
    arguments = {"kernel_size": 3, "padding": 1, "groups": 16, "bias": False} | options
    return nn.Conv2d(16, 16, **arguments)


REPLACED = {
    "act by relu": ("act", nn.ReLU(), True),
    "act by nothing": ("act", nn.Identity(), True),
    "act by relu6": ("act", nn.ReLU6(), True),
    "act by silu": ("act", nn.SiLU(), True),
    "act by gelu": ("act", nn.GELU(), False),
    "act by a subclass": (
        "act",
        type("Louder", (nn.Hardswish,), {"forward": lambda self, x: 3 * x})(),
        False,
    ),
    "norm by group norm": ("norm", nn.GroupNorm(4, 16), False),
    "norm by nothing": ("norm", nn.Identity(), False),
    "norm by one without weights": ("norm", sized(nn.BatchNorm2d(16, affine=False)), False),
    "norm by one without statistics": ("norm", nn.BatchNorm2d(16, track_running_stats=False).eval(), True),
    "norm by another": ("norm", sized(nn.BatchNorm2d(16, eps=0.3)), True),
    "conv by a larger one": ("conv", conv(kernel_size=5, padding=2), True),
    "conv by a dilated one": ("conv", conv(dilation=2, padding=2), False),
    "conv by one with a bias": ("conv", conv(bias=True), False),
    "conv by a dense one": ("conv", conv(groups=1), False),
    "conv by a reflecting one": ("conv", conv(padding_mode="reflect"), False),
    "conv by one of two strides": ("conv", conv(stride=(1, 2)), False),
    "conv by one of two sides": ("conv", conv(kernel_size=(3, 5), padding=(1, 2)), False),
    "conv by one of two paddings": ("conv", conv(padding=(2, 1)), True),
    "conv by one padded apart": ("conv", Conv2dPadded(16, 16, 3, 2, (0, 1), groups=16, bias=False), True),
    "conv by one padded as TensorFlow does": ("conv", Conv2dSame(16, 16, 3, 2, groups=16, bias=False), True),
    "conv by a dilated one padded so": ("conv", Conv2dSame(16, 16, 3, 1, 2, groups=16, bias=False), False),
    "conv by one that says same": ("conv", conv(padding="same"), False),
    "se by nothing": ("se", nn.Identity(), True),
    "se by another module": ("se", nn.Sequential(nn.Conv2d(16, 16, 1)), False),
    "gate by a sigmoid": ("se.gate", nn.Sigmoid(), True),
    "gate by a tanh": ("se.gate", nn.Tanh(), False),
    "inner act by relu": ("se.act", nn.ReLU(), True),
    "inner act by silu": ("se.act", nn.SiLU(), True),
    "inner act by gelu": ("se.act", nn.GELU(), False),
    "reduce without a bias": ("se.reduce", nn.Conv2d(16, 8, 1, bias=False), False),
    "expand in groups": ("se.expand", nn.Conv2d(8, 16, 1, groups=2), False),
    "pool to more pixels": ("se.pool", nn.AdaptiveAvgPool2d(8), False),
    "pool by the largest": ("se.pool", nn.AdaptiveMaxPool2d(1), False),
}


@pytest.mark.parametrize("directly", [False, True])
@pytest.mark.parametrize("case", REPLACED)
def test_replaced_children_are_honored(case, directly):
    name, child, fused = REPLACED[case]
    module = block()
    before = module(X)
    parent, _, attribute = name.rpartition(".")
    if directly:
        module.get_submodule(parent)._modules[attribute] = child
    else:
        setattr(module.get_submodule(parent), attribute, child)
    with torch.no_grad():
        after, expected = module(X), plain(module)
    torch.testing.assert_close(after, expected)
    assert after.shape != before.shape or not torch.allclose(after, before)
    assert is_fused(module) == fused


@pytest.mark.parametrize(
    ("changes", "fused"),
    [
        ({"stride": (2, 2)}, True),
        ({"padding": (0, 0)}, True),
        ({"dilation": (2, 2), "padding": (2, 2)}, False),
        ({"stride": (2, 1)}, False),
    ],
)
def test_settings_changed_in_place_are_honored(changes, fused):
    module = block()
    module(X)
    for name, value in changes.items():
        setattr(module.conv, name, value)
    torch.testing.assert_close(module(X), plain(module))
    assert is_fused(module) == fused


def test_forward_of_a_child_may_be_another():
    module = block()
    module.act.forward = nn.functional.relu
    assert not is_fused(module)
    torch.testing.assert_close(module(X), plain(module))


@pytest.mark.parametrize(
    "change",
    [
        lambda conv: prune.l1_unstructured(conv, "weight", 0.5),
        lambda conv: prune.random_structured(conv, "weight", 0.5, dim=0),
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
    ],
)
def test_computed_weights_are_those_of_now(change):
    module = block()
    module(X)
    change(module.conv)
    for scale in (1.0, 3.0):
        with torch.no_grad():
            for parameter in module.conv.parameters():
                parameter.mul_(scale)
            found = module(X)
            with plain_ops(module):
                torch.testing.assert_close(found, module(X))


def test_changed_children_train_as_plain_ones():
    module = block().train()
    module.act = nn.ReLU()
    module.se.act = nn.SiLU()
    twin = copy.deepcopy(module)
    set_ops(twin, "torch")
    for part in (module, twin):
        part(X).square().sum().backward()
    for one, other in zip(module.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-4)


def test_module_of_a_version_that_did_not_look_can_be_loaded():
    module = block()
    state = module.__reduce_ex__(2)[2]
    del state["_look"]
    old = DepthwiseSE.__new__(DepthwiseSE)
    old.__setstate__(state)
    assert is_fused(old)
    torch.testing.assert_close(old(X), module(X))


def test_map_of_other_dimensions_is_refused_by_torch():
    with pytest.raises((ValueError, RuntimeError), match=r"4D input|rank 4"):
        block()(torch.zeros(16, 8, 8))
