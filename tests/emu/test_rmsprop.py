"""The step of RMSProp on its emulated CUDA kernel: Python, bindings, launch and source together."""

import pytest
import torch

from narsfast import _native
from narsfast.training import MovingAverage, RMSpropTF

from ..training.test_rmsprop import SHAPES, assert_same, drawn, trained

LENGTHS = [*SHAPES, *[(n,) for n in range(1, 60)], (4096,), (4097,), (3, 4096)]
"""More tensors than one launch takes, and blocks that end inside and at the end of one."""


@pytest.fixture(autouse=True)
def _emulated(emu, monkeypatch):
    def on_a_stream(groups, tensors, kept, _):
        emu.rmsprop(groups, tensors, kept, 0)

    monkeypatch.setattr(_native, "rmsprop", on_a_stream)


@pytest.mark.parametrize("averaged", [True, False])
@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
def test_the_kernel_equals_torch(emu, averaged, weight_decay):
    def groups(weights):
        return [
            {"params": weights[::2], "momentum": 0.5, "alpha": 0.7},
            {"params": weights[1::2], "eps": 0.1},
        ]

    settings = {"steps": 2, "averaged": averaged, "weight_decay": weight_decay, "groups": groups}
    weights = drawn(LENGTHS)
    found = trained(weights, "native", **settings)
    assert emu.take_counters().launches == 2 * 2  # steps, tables of 48 tensors
    assert_same(found, trained(weights, "torch", **settings))


@pytest.mark.parametrize("offset", [0, 1])
def test_addresses_need_no_alignment(offset):
    def shifted(values):
        return torch.zeros(values.numel() + offset)[offset:].copy_(values)

    weight = shifted(torch.linspace(-1, 1, 5000)).requires_grad_()
    twin = weight.detach().clone().requires_grad_()
    for tensor, backend in ((weight, "native"), (twin, "torch")):
        tensor.grad = shifted(torch.linspace(1, 2, 5000))
        RMSpropTF([tensor], 0.1, average=MovingAverage([tensor], 0.5), backend=backend).step()
    assert_same([[weight]], [[twin]])


def test_every_array_is_read_and_written_once(emu):
    options = emu.Options()
    options.count = True
    emu.set_options(options)
    trained(drawn([(5000,)]), "native", steps=1)
    assert emu.take_counters().other == 5000 * 4 * 9


def test_results_do_not_depend_on_thread_order(emu):
    results = []
    for seed in (0, 1):
        options = emu.Options()
        options.seed = seed
        emu.set_options(options)
        results.append(trained(drawn(SHAPES), "native", steps=1))
    for ours, theirs in zip(*results, strict=True):
        assert all(a.equal(b) for a, b in zip(ours, theirs, strict=True))
