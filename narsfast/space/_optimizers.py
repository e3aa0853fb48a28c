"""The registry of optimizers, with the facts that recipes, spaces and exports need about each.

`narsfast.training` builds the optimizers; its `register_optimizer` adds one of a user.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from narsfast.common.files import expanded
from narsfast.common.modules import run_file
from narsfast.errors import UserError


class TimmOptimizer(NamedTuple):
    """The same optimizer in timm.

    Attributes:
        name: Name in timm's registry.
        comment: A comment in exported arguments.
        without_momentum: The name for a momentum of 0, if it is another one.
    """

    name: str
    comment: str = ""
    without_momentum: str | None = None


@dataclass(frozen=True)
class OptimizerInfo:
    """The facts about an optimizer, except how it is built.

    Attributes:
        name: Name in recipes.
        description: A short description.
        reads: Fields of a recipe that it uses in addition to learning rate and weight decay; `momentum` and `beta2` are
            the decays of Adam's two means.
        rate_factor: Field of a recipe that multiplies the learning rate, or None.
        decay_factor: Field of a recipe that multiplies the weight decay, or None.
        epsilon: The term that prevents a division by 0, or None.
        timm: The same optimizer in timm, or None.
        extended: Whether it is a choice of the extended recipe space.
    """

    name: str
    description: str
    reads: tuple[str, ...] = ("momentum",)
    rate_factor: str | None = None
    decay_factor: str | None = None
    epsilon: float | None = None
    timm: TimmOptimizer | None = None
    extended: bool = False


_ADAM = ("momentum", "beta2")

_BUILTIN = (
    OptimizerInfo(
        "rmsprop",
        "RMSProp with epsilon inside the root, TensorFlow's form",
        epsilon=1e-3,
        timm=TimmOptimizer("rmsproptf", "epsilon inside the root"),
        extended=True,
    ),
    OptimizerInfo(
        "sgd",
        "SGD with Nesterov momentum",
        rate_factor="sgd_factor",
        timm=TimmOptimizer("sgd", "with Nesterov momentum", without_momentum="momentum"),
        extended=True,
    ),
    OptimizerInfo(
        "adamw",
        "AdamW",
        reads=_ADAM,
        rate_factor="adamw_factor",
        decay_factor="adamw_decay_factor",
        epsilon=1e-8,
        timm=TimmOptimizer("adamw"),
        extended=True,
    ),
    OptimizerInfo(
        "lamb",
        "LAMB, which only NVIDIA's apex computes",
        reads=_ADAM,
        rate_factor="adamw_factor",
        decay_factor="adamw_decay_factor",
        epsilon=1e-6,
        timm=TimmOptimizer("lamb"),
    ),
)
"""RMSProp's epsilon is this project's choice, that of AdamW the usual value, that of LAMB apex's default."""

_registry = {info.name: info for info in _BUILTIN}


def optimizers() -> tuple[OptimizerInfo, ...]:
    """Return all optimizers that are registered in this process, the built-in ones first."""
    return tuple(_registry.values())


def optimizer_info(name: str) -> OptimizerInfo:
    """Return the facts about the optimizer that a recipe names.

    Args:
        name: A registered name, or ``FILE.py:NAME``; the file is run once per process and must register NAME.

    Raises:
        UserError: There is no such optimizer; the message lists the known ones.
    """
    try:
        return find_optimizer(name)
    except LookupError as error:
        raise UserError(f"optimizer is {name!r}; {error.args[0]}") from error


def find_optimizer(name: str) -> OptimizerInfo:
    """Return the facts about an optimizer, as `optimizer_info` does.

    Raises:
        LookupError: There is no such optimizer; the text is the remedy.
    """
    source, _, plain = name.rpartition(":")
    if source.endswith(".py"):
        _run(expanded(source).resolve())
    else:
        plain = name
    if plain in _registry:
        return _registry[plain]
    if source.endswith(".py"):
        raise LookupError(f"the file must register {plain!r} by narsfast.training.register_optimizer")
    *first, last = map(repr, _registry)
    raise LookupError(
        f"it must be {', '.join(first)} or {last}, or FILE.py:NAME of a file that registers NAME"
    )


def add_optimizer(info: OptimizerInfo) -> None:
    """Register an optimizer for recipes in this process; an earlier one of the same name is replaced.

    Raises:
        UserError: The name is that of a built-in optimizer, or not an identifier.
    """
    if any(info.name == known.name for known in _BUILTIN):
        raise UserError(f"optimizer {info.name!r} is built in; register yours by another name")
    if not info.name.isidentifier():
        raise UserError(f"optimizer name {info.name!r} must be letters, digits and underscores")
    _registry[info.name] = info


@cache
def _run(file: Path) -> None:
    if not file.is_file():
        raise LookupError(f"file {str(file)!r} does not exist; give an absolute path")
    try:
        run_file(file)
    except Exception as error:  # anything that a user's file raises must be fixed by the user
        raise LookupError(f"its file failed ({type(error).__name__}: {error}); correct it") from error
