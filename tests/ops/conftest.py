"""The fused block in plain torch: what every kernel is compared with."""

from dataclasses import dataclass

import pytest
import torch
from torch.nn import functional

from narsfast import _native
from narsfast.ops import Excite, Norm, depthwise_se, norm_act

ACTIVATIONS = {
    "none": lambda z: z,
    "relu": torch.relu,
    "hard_swish": lambda z: z * functional.relu6(z + 3) / 6,
}


@pytest.fixture(params=_native.isas())
def isa(request, monkeypatch):
    """Each instruction set that this machine runs."""
    monkeypatch.setenv("NARSFAST_ISA", request.param)
    return request.param


@dataclass
class Case:
    """Shapes of one block, with inputs drawn in float64."""

    n: int = 3
    c: int = 16
    h: int = 9
    w: int = 7
    kernel: int = 3
    stride: int = 1
    padding: int = 1
    squeezed: int = 0
    before: bool = False
    act: str = "hard_swish"
    inner: str = "hard_swish"
    training: bool = True
    seed: int = 0
    offset: float = 0.0

    def leaves(self):
        """Inputs by name."""
        draw = torch.Generator().manual_seed(self.seed)

        def normal(*shape, scale=1.0, mean=0.0):
            return mean + scale * torch.randn(shape, generator=draw, dtype=torch.float64)

        leaves = {
            "x": normal(self.n, self.c, self.h, self.w, mean=self.offset),
            "kernel": normal(self.c, 1, self.kernel, self.kernel, scale=1 / self.kernel),
            "weight": normal(self.c, scale=0.1, mean=1.0),
            "bias": normal(self.c, scale=0.5),
        }
        if self.before:
            leaves |= {"in_weight": normal(self.c, scale=0.1, mean=1.0), "in_bias": normal(self.c, scale=0.5)}
        if self.squeezed:
            leaves |= {
                "reduce_weight": normal(self.squeezed, self.c, scale=self.c**-0.5),
                "reduce_bias": normal(self.squeezed),
                "expand_weight": normal(self.c, self.squeezed, scale=self.squeezed**-0.5),
                "expand_bias": normal(self.c),
            }
        return leaves

    def statistics(self, dtype):
        """Running mean and variance, of the input norm and of the other."""
        draw = torch.Generator().manual_seed(self.seed + 1)
        means = torch.randn((2, self.c), generator=draw, dtype=torch.float64)
        variances = 0.5 + torch.rand((2, self.c), generator=draw, dtype=torch.float64)
        return means.to(dtype), variances.to(dtype)

    def plain(self, leaves):
        """By functional calls; the batch norm by its formula, so that it is exact in float64."""
        act = ACTIVATIONS[self.act]
        means, variances = self.statistics(leaves["weight"].dtype)

        def norm(y, weight, bias, index):
            if self.training:
                mean, var = y.mean((0, 2, 3)), y.var((0, 2, 3), correction=0)
            else:
                mean, var = means[index], variances[index]
            return (
                functional.batch_norm(y, mean, var, weight, bias)
                if mean.grad_fn is None
                else (
                    (y - mean[:, None, None]) * (weight / (var + 1e-5).sqrt())[:, None, None]
                    + bias[:, None, None]
                )
            )

        x = leaves["x"]
        if self.before:
            x = act(norm(x, leaves["in_weight"], leaves["in_bias"], 0))
        y = functional.conv2d(x, leaves["kernel"], None, self.stride, self.padding, groups=self.c)
        a = act(norm(y, leaves["weight"], leaves["bias"], 1))
        if not self.squeezed:
            return a
        hidden = functional.linear(a.mean((2, 3)), leaves["reduce_weight"], leaves["reduce_bias"])
        gate = functional.linear(
            ACTIVATIONS[self.inner](hidden), leaves["expand_weight"], leaves["expand_bias"]
        )
        return a * (functional.relu6(gate + 3) / 6)[:, :, None, None]

    def fused(self, leaves):
        means, variances = self.statistics(leaves["weight"].dtype)
        norms = [(None, None) if self.training else (means[index], variances[index]) for index in range(2)]
        before = (
            Norm(leaves["in_weight"], leaves["in_bias"], *norms[0], 1e-5, self.act) if self.before else None
        )
        excite = None
        if self.squeezed:
            names = ("reduce_weight", "reduce_bias", "expand_weight", "expand_bias")
            excite = Excite(*(leaves[name] for name in names), self.inner)
        return depthwise_se(
            leaves["x"].contiguous(memory_format=torch.channels_last),
            leaves["kernel"],
            Norm(leaves["weight"], leaves["bias"], *norms[1], 1e-5, self.act),
            excite,
            self.stride,
            self.padding,
            before,
        )[0]


def gradients(block, leaves, d_out):
    """Output and gradients by name."""
    leaves = {name: leaf.clone().requires_grad_() for name, leaf in leaves.items()}
    out = block(leaves)
    found = torch.autograd.grad(out, list(leaves.values()), d_out.to(out.dtype))
    return {"out": out.detach(), **dict(zip(leaves, found, strict=True))}


def compare(case, dtype):
    """The fused block against float64 on the same rounded inputs.

    An error may be twice that of torch in the same dtype, or what `n` roundings of the largest value add up to.
    """
    leaves = {
        name: leaf.to(dtype if name == "x" else torch.promote_types(dtype, torch.float32)).double()
        for name, leaf in case.leaves().items()
    }
    out = case.plain(leaves)
    draw = torch.Generator().manual_seed(case.seed + 2)
    d_out = torch.randn(out.shape, generator=draw, dtype=torch.float64).to(dtype).double()
    exact = gradients(case.plain, leaves, d_out)
    cast = {
        name: leaf.to(dtype if name == "x" else torch.promote_types(dtype, torch.float32))
        for name, leaf in leaves.items()
    }
    found = gradients(case.fused, cast, d_out)
    rough = gradients(case.plain, {name: leaf.to(dtype) for name, leaf in leaves.items()}, d_out)
    for name, value in exact.items():
        assert found[name].dtype == cast.get(name, cast["x"]).dtype
        # Terms are of order one, whatever is left of their sum.
        scale = max(1.0, float(value.abs().max())) if value.numel() else 0.0
        terms = max(out.numel(), leaves["x"].numel())
        summed = value.numel() and terms / value.numel() + case.kernel**2 + case.c
        bound = max(
            16 * torch.finfo(dtype).eps * summed**0.5 * scale,
            2 * float((rough[name].double() - value).abs().max()) if value.numel() else 0.0,
        )
        error = float((found[name].double() - value).abs().max()) if value.numel() else 0.0
        assert error <= bound, f"{name}: {error:.3g} above {bound:.3g} (values up to {scale:.3g})"


__all__ = ["Case", "compare", "gradients", "norm_act"]
