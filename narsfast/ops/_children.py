"""Whether a block's children are those that its kernels compute, so that no change by a user is passed over.

A fused block reads the parameters of its children and does not call them. That is right as long as every child is of
the expected class, has the expected settings, and nothing observes its calls. A block examines this when it is first
called, and again when something can have changed: a child is another object, a setting of its convolution is another,
or any hook was registered since, for which torch counts the handles.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch._C import _get_tracing_state
from torch.nn.modules import module as _torch_module
from torch.utils.hooks import RemovableHandle

from narsfast.errors import UserError

from ._padded_conv import Conv2dPadded, Conv2dSame

ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.Identity: "none",
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.Hardswish: "hard_swish",
    nn.SiLU: "silu",
}
"""The activations of the kernels, by the modules that compute them."""

GATES: dict[type[nn.Module], str] = {nn.Hardsigmoid: "hard_sigmoid", nn.Sigmoid: "sigmoid"}
"""The functions of the kernels that end a squeeze-excite, by the modules that compute them."""

NORMS: list[type[nn.Module]] = [nn.BatchNorm2d, nn.SyncBatchNorm]
"""The norms of the kernels; modules that compute them likewise are added."""

_GLOBAL_HOOKS = (
    _torch_module._global_forward_hooks,
    _torch_module._global_forward_pre_hooks,
    _torch_module._global_backward_hooks,
    _torch_module._global_backward_pre_hooks,
)


def untouched(module: Any, *classes: type[nn.Module]) -> bool:
    """Return whether a call of `module` is the forward of one of `classes`, and nothing else."""
    return (
        type(module) in classes
        and "forward" not in module.__dict__
        and not (
            module._forward_hooks
            or module._forward_pre_hooks
            or module._backward_hooks
            or module._backward_pre_hooks
        )
    )


def activation_module(name: str) -> nn.Module:
    """Build the module of an activation of `ACTIVATIONS`.

    Raises:
        UserError: There is none of this name.
    """
    return _module(name, ACTIVATIONS, "an activation")


def gate_module(name: str) -> nn.Module:
    """Build the module of a gate of `GATES`.

    Raises:
        UserError: There is none of this name.
    """
    return _module(name, GATES, "a gate")


def _module(name: str, names: dict[type[nn.Module], str], what: str) -> nn.Module:
    for module, known in names.items():
        if name == known:
            return module()
    raise UserError(f"{what} is {name!r}; it should be one of {', '.join(names.values())}")


def is_norm(module: Any) -> bool:
    """Return whether the kernels compute a norm."""
    return untouched(module, *NORMS) and module.weight is not None and module.bias is not None


def is_activation(module: Any) -> bool:
    """Return whether the kernels compute an activation."""
    return untouched(module, *ACTIVATIONS)


def is_gate(module: Any) -> bool:
    """Return whether the kernels compute the last function of a squeeze-excite."""
    return untouched(module, *GATES)


def is_depthwise(conv: Any) -> bool:
    """Return whether the kernels compute a convolution, given that they support its kernel and stride."""
    padded = untouched(conv, Conv2dPadded, Conv2dSame)
    return (
        (padded or (untouched(conv, nn.Conv2d) and isinstance(conv.padding, tuple)))
        and conv.groups == conv.in_channels == conv.out_channels
        and conv.bias is None
        and conv.padding_mode == "zeros"
        and conv.dilation == (1, 1)
        and all(pair[0] == pair[1] for pair in (conv.kernel_size, conv.stride))
    )


def is_dense(conv: Any) -> bool:
    """Return whether a convolution is a matrix product with a bias, as squeeze-excite has them."""
    return (
        untouched(conv, nn.Conv2d)
        and (conv.kernel_size, conv.stride, conv.padding) == ((1, 1), (1, 1), (0, 0))
        and conv.groups == 1
        and conv.bias is not None
    )


class _Look:
    """What a module found when it last examined its children; neither copied nor pickled with it.

    Attributes:
        hooks: The number of hooks that torch had registered; -1 before.
        children: The children by name.
        parts: What else `plan` depends on: grandchildren and settings of children.
        plan: What the fused path needs to know of the children.
    """

    __slots__ = ("children", "hooks", "parts", "plan")

    def __init__(self) -> None:
        self.hooks = -1
        self.children: dict[str, nn.Module | None] = {}
        self.parts: Any = None
        self.plan: Any = None

    def __reduce__(self) -> tuple[type[_Look], tuple[()]]:
        return _Look, ()


def _constant_when_compiled(method: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Let torch.compile call a method while it compiles, instead of compiling it."""
    marked: Callable[[Any], bool] = torch.compiler.assume_constant_result(method)  # type: ignore[no-untyped-call]
    return marked


class Watched(nn.Module):
    """A module that may compute what its children would, instead of calling them, as long as they are `intact`."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._look = _Look()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self.__dict__.setdefault("_look", _Look())  # pickled by a version without it

    @_constant_when_compiled
    def intact(self) -> bool:
        """Return whether the children are what the fused path computes, and whether it may run.

        torch.jit.trace sees the plain modules, so that what it records can be saved, and loaded without narsfast.
        """
        look = self._look
        if (
            look.hooks != RemovableHandle.next_id
            or look.children != self._modules
            or not self._same(look.parts)
        ):
            look.hooks = -1
            look.plan = None if any(_GLOBAL_HOOKS) else self._examine()
            if look.plan is None:
                return False
            look.children, look.parts = dict(self._modules), self._parts()
            look.hooks = RemovableHandle.next_id
        return _get_tracing_state() is None

    def _examine(self) -> Any:
        """Return what the fused path needs to know of the children; None where it must not run."""
        raise NotImplementedError

    def _parts(self) -> Any:
        """Return what else the plan depends on."""

    def _same(self, parts: Any) -> bool:
        """Return whether `parts` still holds; called often."""
        return True
