"""The blocks of a network and the initialization of their weights."""

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from narsfast.ops import (
    ACTIVATIONS,
    Conv2dSame,
    DepthwiseSE,
    Fusable,
    SqueezeExcite,
    Watched,
    activation_module,
    is_activation,
    is_norm,
    norm_act,
    norm_args,
    pointwise,
    untouched,
    update_buffers,
)
from narsfast.space import Activation

from ._plan import Block, HeadPlan, Pads


def build_conv(
    in_channels: int, out_channels: int, kernel: int, stride: int, padding: Pads, groups: int = 1
) -> nn.Conv2d:
    """Build a convolution without bias; at stride 1 TensorFlow's "same" padding is half the kernel."""
    if padding == "same" and stride > 1:
        return Conv2dSame(in_channels, out_channels, kernel, stride, groups=groups, bias=False)
    pads = kernel // 2 if padding == "same" else padding
    return nn.Conv2d(in_channels, out_channels, kernel, stride, pads, groups=groups, bias=False)


class ConvNorm(Fusable, nn.Sequential):
    """A convolution without bias, batch norm, and an activation if `act` names one."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        padding: Pads | None = None,
        act: Activation | None = "hard_swish",
        norm_eps: float = 1e-5,
        groups: int = 1,
    ):
        pads = kernel // 2 if padding is None else padding
        layers: list[nn.Module] = [
            build_conv(in_channels, out_channels, kernel, stride, pads, groups),
            nn.BatchNorm2d(out_channels, norm_eps),
        ]
        super().__init__(*layers, *([] if act is None else [activation_module(act)]))

    def convolve(self, x: Tensor) -> Tensor | None:
        """Apply the convolution without norm and activation; None where the modules must be called."""
        # torch says what is wrong with maps of other dimensions.
        if not self.intact() or not self.runs_fused(x) or x.dim() != 4:
            return None
        conv: Any = self._modules["0"]
        return pointwise(conv, x)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_channels, h, w) to (n, out_channels, h', w')."""
        y = self.convolve(x)
        if y is None:
            for layer in self:
                x = layer(x)
            return x
        if not self.runs_fused(y):  # autocast chose another dtype
            for layer in list(self)[1:]:
                y = layer(y)
            return y
        norm: Any = self._modules["1"]
        y, statistics = norm_act(
            y.contiguous(memory_format=torch.channels_last), norm_args(norm, self.act_name)
        )
        update_buffers(norm, statistics)
        return y

    @property
    def act_name(self) -> str:
        """The activation as kernels name it, while the children are intact."""
        name: str = self._look.plan
        return name

    def _examine(self) -> str | None:
        conv, *rest = self._modules.values()
        if list(self._modules) not in (["0", "1"], ["0", "1", "2"]) or not untouched(
            conv, nn.Conv2d, Conv2dSame
        ):
            return None
        if not is_norm(rest[0]) or not all(is_activation(act) for act in rest[1:]):
            return None
        return ACTIVATIONS[type(rest[1])] if len(rest) > 1 else "none"


def _depthwise(block: Block) -> DepthwiseSE:
    """Build the inner half of an inverted residual; at stride 1 TensorFlow's "same" padding is half the kernel."""
    padding = None if block.padding == "same" and block.stride == 1 else block.padding
    squeezed = block.squeezed or None
    names = block.act, block.se_act, block.se_gate
    return DepthwiseSE(
        block.hidden, block.kernel, block.stride, padding, squeezed, *names, eps=block.norm_eps
    )


def _drop_path(block: Block, rate: float) -> nn.Module:
    return StochasticDepth(rate, mode="row") if block.shortcut and rate > 0 else nn.Identity()


class InvertedResidual(Watched):
    """Expansion, depthwise convolution (with squeeze-excite) and projection, plus the input if the shapes agree.

    There is no expansion if it would not change the width, and no depthwise convolution whose kernel is 0. Only a block
    with one before the expansion has a child `start`.

    Attributes:
        shortcut: Whether the input is added to the output.
    """

    def __init__(self, block: Block, drop_path: float = 0.0) -> None:
        super().__init__()
        self.shortcut = block.shortcut
        inputs, hidden, eps = block.in_channels, block.hidden, block.norm_eps
        if block.start_kernel:
            window = block.start_kernel, block.start_stride, block.start_padding
            self.start = ConvNorm(inputs, inputs, *window, act=None, norm_eps=eps, groups=inputs)
        self.expand = (
            ConvNorm(inputs, hidden, act=block.act, norm_eps=eps) if block.expands else nn.Identity()
        )
        self.depthwise = _depthwise(block) if block.kernel else nn.Identity()
        self.project = ConvNorm(hidden, block.channels, act=None, norm_eps=eps)
        self.drop_path = _drop_path(block, drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_channels, h, w) to (n, channels, h', w')."""
        children: Any = self._modules
        expand, depthwise = children["expand"], children["depthwise"]
        start = children.get("start")
        entered = x if start is None else start(x)
        joined = self.intact()
        if joined and self._look.plan is nn.Identity:
            y = depthwise(entered)
        elif joined and (convolved := expand.convolve(entered)) is not None:
            # The depthwise convolution applies the norm and activation of the expansion as it reads its input.
            y = depthwise(convolved, input_norm=expand._modules["1"], input_act=expand.act_name)
        else:
            y = depthwise(expand(entered))
        result: Tensor = children["project"](y)
        return x + children["drop_path"](result) if self.shortcut else result

    def _examine(self) -> type[nn.Module] | None:
        """Return the class of `expand` where no one sees whether it and `depthwise` are called one after the other."""
        children: Any = self._modules
        expand, depthwise = children["expand"], children["depthwise"]
        if not untouched(depthwise, DepthwiseSE) or not untouched(expand, ConvNorm, nn.Identity):
            return None
        found: type[nn.Module] = type(expand)
        return found


class FusedResidual(nn.Module):
    """A dense convolution that expands (with squeeze-excite) and a projection, plus the input if the shapes agree.

    Where the width does not change, one dense convolution to the output channels is all.

    Attributes:
        shortcut: Whether the input is added to the output.
    """

    def __init__(self, block: Block, drop_path: float = 0.0) -> None:
        super().__init__()
        self.shortcut = block.shortcut
        width = block.hidden if block.expands else block.channels
        window = block.kernel, block.stride, block.padding
        eps = block.norm_eps
        self.expand = ConvNorm(block.in_channels, width, *window, act=block.act, norm_eps=eps)
        self.se: nn.Module = nn.Identity()
        if block.squeezed:
            self.se = SqueezeExcite(width, block.squeezed, block.se_act, block.se_gate)
        self.project = (
            ConvNorm(width, block.channels, act=None, norm_eps=eps) if block.expands else nn.Identity()
        )
        self.drop_path = _drop_path(block, drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_channels, h, w) to (n, channels, h', w')."""
        result: Tensor = self.project(self.se(self.expand(x)))
        return x + self.drop_path(result) if self.shortcut else result


class Head(nn.Module):
    """A 1x1 convolution with norm, mean over the map, a 1x1 convolution, and the classifier.

    Either convolution may be missing. Only a head with a norm after the second one has a child `norm`.
    """

    def __init__(self, plan: HeadPlan, num_classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.expand: nn.Module = nn.Identity()
        if plan.hidden:
            self.expand = ConvNorm(plan.in_channels, plan.hidden, act=plan.act, norm_eps=plan.norm_eps)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.features: nn.Module = nn.Identity()
        self.act: nn.Module = nn.Identity()
        if plan.features:
            self.features = nn.Conv2d(plan.pooled, plan.features, 1, bias=plan.bias)
            if plan.norm:
                self.norm = nn.BatchNorm2d(plan.features, plan.norm_eps)
            self.act = activation_module(plan.act)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(plan.classified, num_classes)

    def pooled(self, x: Tensor) -> Tensor:
        """Map (n, in_channels, h, w) to the inputs of the classifier (n, features), without dropout."""
        vector = self.features(self.pool(self.expand(x)))
        norm = self._modules.get("norm")
        result: Tensor = self.act(vector if norm is None else norm(vector)).flatten(1)
        return result

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_channels, h, w) to logits (n, num_classes)."""
        logits: Tensor = self.classifier(self.dropout(self.pooled(x)))
        return logits


def build_block(block: Block, drop_path: float) -> nn.Module:
    """Build a block; `drop_path` is the rate at which its residual branch is dropped."""
    if block.kind == "mbconv":
        return InvertedResidual(block, drop_path)
    if block.kind == "fused":
        return FusedResidual(block, drop_path)
    window = block.kernel, block.stride, block.padding
    return ConvNorm(block.in_channels, block.channels, *window, act=block.act, norm_eps=block.norm_eps)


def initialize(network: nn.Module) -> None:
    """Initialize all weights from torch's global generator.

    From the released code: convolutions are Kaiming-normal by fan-out, and the last norm of each residual block starts
    at scale 0. This project's choice: classifier weights are normal with standard deviation 0.01, biases 0. As in torch,
    fan-out is counted over all groups, so that depthwise weights start small. As a norm follows, their size affects not
    the output but the effective learning rate (bench/results/depthwise_start.json). Nothing is drawn on the meta device.
    """
    if all(parameter.is_meta for parameter in network.parameters()):
        return
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            draw_classifier(module)
    for module in network.modules():
        projects = isinstance(module, InvertedResidual | FusedResidual) and module.shortcut
        if projects and isinstance(module.project, ConvNorm):
            nn.init.zeros_(module.project.get_parameter("1.weight"))


def draw_classifier(layer: nn.Linear | nn.Conv2d) -> None:
    """Initialize the layer of a classifier: weights normal with standard deviation 0.01, bias 0."""
    nn.init.normal_(layer.weight, 0.0, 0.01)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
