"""The optimizers that a recipe may name: what recipes, spaces and exports need to know of each.

How each is built is known to `narsfast.training`, whose `register_optimizer` adds one of the user's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from narsfast.common.modules import run_file
from narsfast.errors import UserError


class TimmOptimizer(NamedTuple):
    """What timm calls the same optimizer.

    Attributes:
        name: Of timm's registry.
        comment: What a reader of the exported arguments should know.
        without_momentum: The name where a recipe's momentum is 0, if it is another one.
    """

    name: str
    comment: str = ""
    without_momentum: str | None = None


@dataclass(frozen=True)
class OptimizerInfo:
    """What is known of an optimizer apart from how it is built.

    Attributes:
        name: Its value in recipes.
        description: What it is, in a few words.
        reads: Fields of a recipe that it reads beside the learning rate and the weight decay; `momentum` and `beta2`
            are the decays of the two means of Adam.
        rate_factor: The field of a recipe that multiplies its learning rate; None takes the rate as it is.
        decay_factor: The same for its weight decay.
        epsilon: What keeps it from dividing by 0; None where it does not divide.
        timm: The same optimizer in timm; None where it has none.
        extended: Whether the extended recipe space chooses it too.
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
"""Epsilons: of RMSProp our default, of AdamW the usual value, of LAMB apex's default."""

_registry = {info.name: info for info in _BUILTIN}


def optimizers() -> tuple[OptimizerInfo, ...]:
    """Return all that are registered in this process, the built-in ones first."""
    return tuple(_registry.values())


def optimizer_info(name: str) -> OptimizerInfo:
    """Return what is known of the optimizer that a recipe names.

    Args:
        name: A registered one, or ``FILE.py:NAME``: the file is run, once per process, and must register NAME.

    Raises:
        UserError: There is no such optimizer; it says which there are.
    """
    try:
        return find_optimizer(name)
    except LookupError as error:
        raise UserError(f"optimizer is {name!r}; {error.args[0]}") from error


def find_optimizer(name: str) -> OptimizerInfo:
    """Return what `optimizer_info` does.

    Raises:
        LookupError: There is none; its text is what would be right.
    """
    source, _, plain = name.rpartition(":")
    if source.endswith(".py"):
        _run(Path(source).expanduser().resolve())
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
    """Make a name known to recipes in this process; one of the user's that is known already is replaced.

    Raises:
        UserError: The name is a built-in one's, or none that a recipe could hold.
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
    except Exception as error:  # whatever a user's file raises
        raise LookupError(f"its file failed ({type(error).__name__}: {error}); correct it") from error
