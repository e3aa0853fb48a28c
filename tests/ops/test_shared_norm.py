"""Norms that share statistics, in one process; test_process_group and training's test_ranks have several."""

import copy

import pytest
import torch
from torch import nn

from narsfast.errors import UserError
from narsfast.ops import SharedBatchNorm, share_norms


def network():
    torch.manual_seed(0)
    norms = [nn.BatchNorm2d(6, eps=1e-3, momentum=0.3), nn.BatchNorm2d(6)]
    for norm in norms:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return nn.Sequential(nn.Conv2d(3, 6, 3), norms[0], nn.Sequential(nn.ReLU(), norms[1]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_single_process_equals_batch_norm(dtype):
    plain, shared = network(), network()
    share_norms(shared)
    assert sum(isinstance(module, SharedBatchNorm) for module in shared.modules()) == 2
    x, wanted = torch.randn(5, 3, 9, 8), torch.randn(5, 6, 7, 6)
    found = []
    for module in (plain, shared):
        with torch.autocast("cpu", dtype, enabled=dtype is not torch.float32):
            out = module(x)
        assert out.dtype is dtype
        (out.float() * wanted).sum().backward()
        evaluated = module.eval()(x)
        state = [*module.state_dict().values(), *(p.grad for p in module.parameters())]
        found.append([out.float(), evaluated, *state])
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype is torch.float32 else {"rtol": 0.03, "atol": 0.3}
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(theirs, mine, **tolerance)


def test_restored_modules_keep_the_learned_parameters():
    module = network()
    before = dict(module.named_modules())
    names, parameters = list(module.state_dict()), [id(p) for p in module.parameters()]
    restore = share_norms(module)
    assert (list(module.state_dict()), [id(p) for p in module.parameters()]) == (names, parameters)
    module(torch.randn(4, 3, 8, 8))
    learnt = copy.deepcopy(module.state_dict())
    module.eval()
    restore()
    assert dict(module.named_modules()) == before
    assert all(learnt[name].equal(tensor) for name, tensor in module.state_dict().items())
    assert not any(part.training for part in module.modules())


def test_other_norms_raise():
    class Special(nn.BatchNorm2d):
        pass

    for norm in (Special(4), nn.BatchNorm1d(4)):
        with pytest.raises(
            UserError, match=f"0 of the network is a {type(norm).__name__}; .* in one process"
        ):
            share_norms(nn.Sequential(norm))
