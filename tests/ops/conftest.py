"""The fused block in plain torch: what every kernel is compared with."""

from dataclasses import dataclass

import pytest
import torch
from torch.nn import functional

from narsfast import _native
from narsfast.ops import ExciteArgs, NormArgs, WindowArgs, depthwise_se

ACTIVATIONS = {
    "none": lambda z: z,
    "relu": torch.relu,
    "hard_swish": lambda z: z * functional.relu6(z + 3) / 6,
    "relu6": functional.relu6,
    "silu": lambda z: z * torch.sigmoid(z),
}
GATES = {"hard_sigmoid": lambda t: functional.relu6(t + 3) / 6, "sigmoid": torch.sigmoid}
EXCITES = [
    ("relu", "hard_sigmoid"),
    ("hard_swish", "hard_sigmoid"),
    ("relu6", "sigmoid"),
    ("silu", "sigmoid"),
    ("hard_swish", "sigmoid"),
]
"""Inner activations and gates of squeeze-excites."""


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
    padding: int | tuple[int, int, int, int] = 1  # on each side, or top, bottom, left, right
    squeezed: int = 0
    before: bool = False
    act: str = "hard_swish"
    inner: str = "hard_swish"
    gate: str = "hard_sigmoid"
    training: bool = True
    seed: int = 0
    offset: float = 0.0

    @property
    def window(self):
        pads = (self.padding,) * 4 if isinstance(self.padding, int) else self.padding
        return WindowArgs(self.stride, *pads)

    def leaves(self):
        """Return the inputs by name."""
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

    def statistics(self, like):
        """Return running means and variances, of the input norm and of the other, like `like`; None in training."""
        if self.training:
            return (None, None), (None, None)
        draw = torch.Generator().manual_seed(self.seed + 1)
        means = torch.randn((2, self.c), generator=draw, dtype=torch.float64)
        variances = 0.5 + torch.rand((2, self.c), generator=draw, dtype=torch.float64)
        return tuple(zip(means.to(like), variances.to(like), strict=True))

    def plain(self, leaves):
        """Compute the block by functional calls; the batch norm by its formula, so that it is exact in float64."""
        act = ACTIVATIONS[self.act]
        statistics = self.statistics(leaves["weight"])

        def norm(y, weight, bias, index):
            mean, var = statistics[index]
            if mean is None:
                mean, var = y.mean((0, 2, 3)), y.var((0, 2, 3), correction=0)
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
        stride, top, bottom, left, right = self.window
        x = functional.pad(x, (left, right, top, bottom))
        y = functional.conv2d(x, leaves["kernel"], None, stride, groups=self.c)
        a = act(norm(y, leaves["weight"], leaves["bias"], 1))
        if not self.squeezed:
            return a
        hidden = functional.linear(a.mean((2, 3)), leaves["reduce_weight"], leaves["reduce_bias"])
        gate = functional.linear(
            ACTIVATIONS[self.inner](hidden), leaves["expand_weight"], leaves["expand_bias"]
        )
        return a * GATES[self.gate](gate)[:, :, None, None]

    def fused(self, leaves):
        return self.with_statistics(leaves)[0]

    def with_statistics(self, leaves, group=None):
        """Return the fused block's output, and the batch statistics of both norms."""
        norms = self.statistics(leaves["weight"])
        input_norm = None
        if self.before:
            input_norm = NormArgs(leaves["in_weight"], leaves["in_bias"], *norms[0], 1e-5, self.act, group)
        excite = None
        if self.squeezed:
            names = ("reduce_weight", "reduce_bias", "expand_weight", "expand_bias")
            excite = ExciteArgs(*(leaves[name] for name in names), self.inner, self.gate)
        return depthwise_se(
            leaves["x"].contiguous(memory_format=torch.channels_last),
            leaves["kernel"],
            NormArgs(leaves["weight"], leaves["bias"], *norms[1], 1e-5, self.act, group),
            self.window,
            excite,
            input_norm,
        )


SHAPES = [
    Case(kernel=3, padding=1),
    Case(kernel=3, stride=2, padding=0, squeezed=6, before=True),
    Case(kernel=5, stride=2, padding=1, c=37, squeezed=5, before=True),
    Case(kernel=5, stride=1, padding=2, c=24, h=14, w=14, squeezed=8),
    Case(kernel=5, stride=1, padding=0, c=3, h=8, w=6),
    Case(kernel=7, stride=1, padding=3, c=33, h=8, w=17, squeezed=4, before=True),
    Case(kernel=7, stride=2, padding=3, c=16, h=13, w=3, before=True),
    Case(kernel=5, stride=1, padding=2, n=9, c=40, h=2, w=2, squeezed=8, before=True),
    Case(kernel=3, stride=2, padding=1, n=4, c=8, h=1, w=1),
    Case(kernel=3, stride=1, padding=3, n=2, c=20, h=4, w=3, squeezed=2),
    Case(kernel=3, stride=2, padding=1, n=2, c=1, h=33, w=31),
    Case(kernel=3, stride=2, padding=(0, 1, 0, 1), c=24, h=8, w=10, act="silu"),
    Case(
        kernel=5,
        stride=2,
        padding=(1, 2, 2, 2),
        h=12,
        w=9,
        act="relu6",
        squeezed=3,
        inner="silu",
        gate="sigmoid",
    ),
    Case(
        kernel=7,
        stride=2,
        padding=(3, 3, 2, 3),
        c=9,
        h=7,
        w=8,
        act="silu",
        before=True,
        squeezed=4,
        gate="sigmoid",
    ),
    Case(kernel=5, stride=1, padding=(0, 4, 3, 0), c=40, h=11, w=10, act="relu6", before=True),
    Case(kernel=3, stride=1, padding=(2, 0, 0, 1), c=17, h=5, w=33, act="silu", squeezed=2, inner="relu6"),
]


def gradients(block, leaves, d_out):
    """Return output and gradients by name."""
    leaves = {name: leaf.clone().requires_grad_() for name, leaf in leaves.items()}
    out = block(leaves)
    found = torch.autograd.grad(out, list(leaves.values()), d_out.to(out))
    return {"out": out.detach(), **dict(zip(leaves, found, strict=True))}


def rounded(leaves, dtype, device="cpu"):
    """Convert leaves as the fused block takes them for a map of `dtype`."""
    vectors = torch.promote_types(dtype, torch.float32)
    return {name: leaf.to(device, dtype if name == "x" else vectors) for name, leaf in leaves.items()}


def compare(case, dtype, device="cpu"):
    """Compare the fused block on a device with float64 on the CPU, on the same rounded inputs.

    An error may be twice that of torch in the same dtype, or what `n` roundings of the largest value add up to. torch's
    differs from machine to machine where ours does not.
    """
    leaves = {name: leaf.double() for name, leaf in rounded(case.leaves(), dtype).items()}
    out = case.plain(leaves)
    draw = torch.Generator().manual_seed(case.seed + 2)
    d_out = torch.randn(out.shape, generator=draw, dtype=torch.float64).to(dtype).double()
    exact = gradients(case.plain, leaves, d_out)
    cast = rounded(leaves, dtype, device)
    found = gradients(case.fused, cast, d_out)
    rough = gradients(case.plain, {name: leaf.to(dtype) for name, leaf in leaves.items()}, d_out)
    for name, value in exact.items():
        like = cast.get(name, cast["x"])
        assert (found[name].dtype, found[name].device) == (like.dtype, like.device)
        # Terms are of order one, whatever is left of their sum.
        scale = max(1.0, float(value.abs().max())) if value.numel() else 0.0
        terms = max(out.numel(), leaves["x"].numel())
        summed = value.numel() and terms / value.numel() + case.kernel**2 + case.c
        bound = max(
            20 * torch.finfo(dtype).eps * summed**0.5 * scale,
            2 * float((rough[name].double() - value).abs().max()) if value.numel() else 0.0,
        )
        error = float((found[name].cpu().double() - value).abs().max()) if value.numel() else 0.0
        assert error <= bound, f"{name}: {error:.3g} above {bound:.3g} (values up to {scale:.3g})"


def compare_inference(case, dtype, device="cpu"):
    """Compare the fused block without gradients, with constant statistics, with float64 on the CPU."""
    leaves = rounded(case.leaves(), dtype)
    expected = case.plain({name: leaf.double() for name, leaf in leaves.items()})
    with torch.no_grad():
        found = case.fused(rounded(leaves, dtype, device))
    assert (found.dtype, found.device.type) == (dtype, device)
    assert found.is_contiguous(memory_format=torch.channels_last)
    error = float((found.cpu().double() - expected).abs().max())
    assert error <= 32 * torch.finfo(dtype).eps * float(expected.abs().max())


OPERATORS = ("convolve", "convolve_gradient", "moments", "normalize", "reduce", "norm_gradient", "infer")


def channels_last(*shape, dtype=torch.float32, device="cpu"):
    return torch.randn(shape).to(device, dtype).contiguous(memory_format=torch.channels_last)


def operator_arguments(name, device="cpu", dtype=torch.float32):
    """Return the arguments of one operator, for 8 channels."""
    torch.manual_seed(0)
    x, y, d_out = (channels_last(3, 8, 6, 5, dtype=dtype, device=device) for _ in range(3))

    def normal(*shape):
        return torch.randn(shape).to(device)

    def norm(act):
        return (*(torch.rand(8).to(device) for _ in range(4)), 1e-5, act)

    excite = (normal(4, 8), normal(4), normal(8, 4), normal(8), "relu", "sigmoid")
    state = normal(3 * (8 + 4 + 8))
    kernel = normal(8, 1, 3, 3)
    gradient = (d_out, y, *norm("hard_swish"))
    sums = (normal(8), normal(8), 90.0)
    window = (1, 1, 1, 1, 1)
    pooled = (state, normal(3, 8), "sigmoid")
    return {
        "convolve": (x, kernel, *norm("relu"), *window),
        "convolve_gradient": (*gradient, *pooled, *sums, x, kernel, *norm("relu"), 90.0, *window),
        "moments": (y,),
        "normalize": (y, *norm("hard_swish"), *excite),
        "reduce": (*gradient, state, *excite),
        "norm_gradient": (*gradient, *sums),
        "infer": (x, kernel, *norm("relu"), *norm("hard_swish"), *excite, *window),
    }[name]
