"""Calls of the emulated launchers on torch tensors: maps (n, h, w, c), vectors in float32."""

from types import SimpleNamespace

import torch

DTYPES = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}
ACTIVATIONS = {"none": 0, "relu": 1, "hard_swish": 2, "relu6": 3, "silu": 4}
GATES = {"hard_sigmoid": 0, "sigmoid": 1}
NAN = float("nan")


def pads_of(padding):
    return (padding,) * 4 if isinstance(padding, int) else padding


class Calls:
    """Fills argument structs; every output and workspace starts as NaN."""

    def __init__(self, emu):
        self.emu = emu
        self.kept = []

    def address(self, tensor):
        self.kept.append(tensor)
        return 0 if tensor is None else tensor.data_ptr()

    def fill(self, struct, **values):
        for name, value in values.items():
            pointer = value is None or isinstance(value, torch.Tensor)
            setattr(struct, name, self.address(value) if pointer else value)
        return struct

    def norm(self, norm):
        """`norm`: None or a cases.Norm."""
        if norm is None:
            return self.emu.Norm()
        values = norm._replace(activation=ACTIVATIONS[norm.activation])
        return self.fill(self.emu.Norm(), **values._asdict())

    def excite(self, excite):
        """`excite`: None or (reduce_weight, reduce_bias, expand_weight, expand_bias, activation, gate)."""
        if excite is None:
            return self.emu.Excite()
        names = ("reduce_weight", "reduce_bias", "expand_weight", "expand_bias")
        values = dict(zip(names, excite, strict=False), activation=ACTIVATIONS[excite[4]])
        values["gate_kind"] = GATES[excite[5]]
        return self.fill(self.emu.Excite(), squeezed=excite[0].shape[0], **values)

    def window(self, x, weight, stride, padding):
        """Fill a Window; `padding`: on each side, or (top, bottom, left, right)."""
        n, h, w, c = x.shape
        k = weight.shape[-1]
        top, bottom, left, right = pads_of(padding)
        out = [(size - k) // stride + 1 for size in (h + top + bottom, w + left + right)]
        return self.fill(
            self.emu.Window(), images=n, height=h, width=w, channels=c, out_height=out[0], out_width=out[1],
            kernel=k, stride=stride, top=top, left=left,
        )  # fmt: skip

    def run(self, name, arguments, outputs):
        if hasattr(self.emu, name + "_workspace"):
            size = getattr(self.emu, name + "_workspace")(arguments)
            self.fill(arguments, workspace=torch.full((size // 4 + 1,), NAN))
        getattr(self.emu, name)(arguments)
        self.kept.clear()
        return SimpleNamespace(**outputs)

    def sizes(self, y):
        n, h, w, c = y.shape
        return {"dtype": DTYPES[y.dtype], "images": n, "pixels": h * w, "channels": c}

    def convolve(self, x, weight, stride, padding, norm=None):
        window = self.window(x, weight, stride, padding)
        c = x.shape[3]
        y = torch.full((x.shape[0], window.out_height, window.out_width, c), NAN).to(x.dtype)
        out = {"y": y, "mean": torch.full((c,), NAN), "var": torch.full((c,), NAN)}
        arguments = self.fill(
            self.emu.ConvolveArguments(), dtype=DTYPES[x.dtype], window=window, x=x, input=self.norm(norm),
            weight=weight, **out,
        )  # fmt: skip
        return self.run("convolve", arguments, out)

    def moments(self, y):
        out = {"mean": torch.full((y.shape[3],), NAN), "var": torch.full((y.shape[3],), NAN)}
        return self.run("moments", self.fill(self.emu.MomentsArguments(), **self.sizes(y), y=y, **out), out)

    def normalize(self, y, norm, excite):
        n, c = y.shape[0], y.shape[3]
        squeezed = 0 if excite is None else excite[0].shape[0]
        out = {"out": torch.full_like(y, NAN), "pooled": torch.full((n, c), NAN)}
        out |= {"hidden": torch.full((n, squeezed), NAN), "gate": torch.full((n, c), NAN)}
        arguments = self.fill(
            self.emu.NormalizeArguments(), **self.sizes(y), y=y, norm=self.norm(norm),
            excite=self.excite(excite), **out,
        )  # fmt: skip
        return self.run("normalize", arguments, out)

    def reduce(self, y, d_out, norm, excite, forward):
        c = y.shape[3]
        out = {"d_weight": torch.full((c,), NAN), "d_bias": torch.full((c,), NAN)}
        given = {}
        if excite is not None:
            names = ("d_reduce_weight", "d_reduce_bias", "d_expand_weight", "d_expand_bias")
            out |= {name: torch.full_like(value, NAN) for name, value in zip(names, excite, strict=False)}
            out["d_pooled"] = torch.full((y.shape[0], c), NAN)
            given = {"pooled": forward.pooled, "hidden": forward.hidden, "gate": forward.gate}
        arguments = self.fill(
            self.emu.ReduceArguments(), **self.sizes(y), y=y, d_out=d_out, norm=self.norm(norm),
            excite=self.excite(excite), **given, **out,
        )  # fmt: skip
        return self.run("reduce", arguments, out)

    def gradient(self, y, d_out, norm, **values):
        """`values`: gate, gate_kind, d_pooled, d_weight, d_bias, count."""
        if "gate_kind" in values:
            values["gate_kind"] = GATES[values["gate_kind"]]
        return self.fill(self.emu.NormGradient(), y=y, d_out=d_out, norm=self.norm(norm), **values)

    def norm_gradient(self, y, d_out, norm, **values):
        out = {"d_y": torch.full_like(y, NAN)}
        arguments = self.fill(
            self.emu.NormGradientArguments(),
            **self.sizes(y),
            norm=self.gradient(y, d_out, norm, **values),
            **out,
        )
        return self.run("norm_gradient", arguments, out)

    def convolve_gradient(self, gradient, x, weight, stride, padding, norm=None):
        """`gradient`: the arguments of gradient()."""
        c = x.shape[3]
        out = {"d_x": torch.full_like(x, NAN), "d_weight": torch.full_like(weight, NAN)}
        out |= {"d_input_weight": torch.full((c,), NAN), "d_input_bias": torch.full((c,), NAN)}
        arguments = self.fill(
            self.emu.ConvolveGradientArguments(), dtype=DTYPES[x.dtype],
            window=self.window(x, weight, stride, padding), norm=self.gradient(**gradient), x=x,
            input=self.norm(norm), weight=weight, **out,
        )  # fmt: skip
        return self.run("convolve_gradient", arguments, out)

    def infer(self, x, weight, stride, padding, first, norm, excite):
        window = self.window(x, weight, stride, padding)
        out = {
            "out": torch.full((x.shape[0], window.out_height, window.out_width, x.shape[3]), NAN).to(x.dtype)
        }
        arguments = self.fill(
            self.emu.InferArguments(), dtype=DTYPES[x.dtype], window=window, x=x, input=self.norm(first),
            weight=weight, norm=self.norm(norm), excite=self.excite(excite), **out,
        )  # fmt: skip
        return self.run("infer", arguments, out)
