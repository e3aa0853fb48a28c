"""The recipe as arguments of timm's training script, and the network as a model that timm can create."""

from __future__ import annotations

import json
import re
from typing import Any

from narsfast.arch import Definition
from narsfast.space import OptimizerInfo, Recipe, optimizer_info

from ._facts import DataFacts

Argument = tuple[str, Any, str]
"""Name, value and comment (may be empty) of one argument; without a value (None) only the comment is written."""

_HEADER = """\
# The recipe of this network as arguments of timm's training script (timm 1.0.x, train.py):
#
#   python -c "import timm_model, runpy; runpy.run_path('train.py', run_name='__main__')" \\
#       --config timm_args.yaml --data-dir DATA
#
# run in this folder with train.py of timm copied beside it; timm_model.py registers the network under the name
# below. Every key is a long option of the script, with underscores.
"""


def model_name(name: str) -> str:
    """Return `name` as an identifier that timm can register a model under."""
    return "narsfast_" + re.sub(r"\W+", "_", name).strip("_").lower()


def _optimizer(recipe: Recipe) -> list[Argument]:
    info = optimizer_info(recipe.optimizer)
    factor = "" if info.rate_factor is None else f"{recipe.learning_rate:g} times {recipe.rate_factor:g}"
    lines = [_optimizer_name(info, recipe.momentum)]
    if info.epsilon is not None:
        lines.append(("opt_eps", info.epsilon, ""))
    lines.append(("lr", recipe.peak_rate, factor))
    if "beta2" in info.reads:
        lines.append(("opt_betas", [recipe.momentum, recipe.beta2], ""))
    elif "momentum" in info.reads:
        lines.append(("momentum", recipe.momentum, ""))
    return [
        *lines,
        ("weight_decay", recipe.effective_weight_decay, "not on norms and biases, here and there"),
        *_depth(recipe),
    ]


def _depth(recipe: Recipe) -> list[Argument]:
    """Return what depends on the depth of a layer."""
    lines: list[Argument] = []
    if recipe.layer_decay < 1:
        lines.append(
            ("layer_decay", recipe.layer_decay, "by the layers that timm finds, about those of here")
        )
    if recipe.head_factor != 1:
        lines.append(
            (
                "head_factor",
                None,
                f"{recipe.head_factor:g} here; the script has no rate for the classifier alone",
            )
        )
    if recipe.frozen > 0:
        what = f"{recipe.frozen:g} of the layers for {recipe.frozen_until:g} of the epochs"
        lines.append(("frozen", None, f"{what} here; the script freezes nothing"))
    return lines


def _optimizer_name(info: OptimizerInfo, momentum: float) -> Argument:
    if info.timm is None:
        return (
            "opt",
            None,
            f"none: timm has no counterpart of {info.name}, which was registered by its user",
        )
    if momentum == 0 and info.timm.without_momentum is not None:
        return ("opt", info.timm.without_momentum, f"{info.timm.name} without momentum")
    return ("opt", info.timm.name, info.timm.comment)


def _schedule(recipe: Recipe, epochs: int) -> list[Argument]:
    shortened = ""
    if recipe.epochs_share < 1:
        shortened = f"here {epochs} epochs of {recipe.epochs_share:g} of the images"
        epochs = max(1, round(epochs * recipe.epochs_share))
    on_updates = recipe.schedule_by == "step"
    kind: dict[str, list[Argument]] = {
        "exponential": [
            ("sched", "step", "nearest to this recipe's exponential decay, which falls at every step"),
            ("decay_epochs", 1, ""),
            (
                "decay_rate",
                recipe.lr_final ** (1 / epochs),
                f"{recipe.lr_final:g} of the rate is left at the end",
            ),
        ],
        "cosine": [
            ("sched", "cosine", ""),
            ("min_lr", recipe.peak_rate * recipe.lr_final, f"{recipe.lr_final:g} of the rate"),
        ],
        "step": [
            ("sched", "step", "falls after a third and two thirds of the epochs"),
            ("decay_epochs", epochs / 3, ""),
            ("decay_rate", recipe.lr_final**0.5, f"{recipe.lr_final:g} of the rate is left at the end"),
        ],
    }
    return [
        ("epochs", epochs, shortened),
        *kind[recipe.schedule],
        ("sched_on_updates", on_updates, "so that warm-up rises at every step" if on_updates else ""),
        ("warmup_epochs", recipe.warmup_epochs * recipe.epochs_share, "linear"),
        ("warmup_lr", 0.0, ""),
        ("cooldown_epochs", 0, ""),
    ]


def _augmentation(recipe: Recipe, data: DataFacts) -> list[Argument]:
    if recipe.augmentation == "none":
        lost = recipe.color > 0 or recipe.erasing > 0
        return [
            ("no_aug", True, "color jitter and erasing have no counterpart without crops" if lost else "")
        ]
    lines: list[Argument] = [
        ("scale", list(data.area), "share of the area"),
        ("ratio", list(data.ratio), "width / height"),
        ("hflip", 0.5 if data.mirror else 0.0, ""),
        ("vflip", 0.0, ""),
        _color(recipe),
        ("reprob", recipe.erasing, ""),
    ]
    if recipe.erasing:
        lines.append(("remode", "const", "the mean color"))
    return [*lines, *_policy(recipe)]


def _color(recipe: Recipe) -> Argument:
    if recipe.color == 0:
        return ("color_jitter", 0.0, "off; the script's default is not")
    alone = recipe.augmentation == "crop"
    return ("color_jitter", recipe.color, "" if alone else "the script leaves it out beside a policy")


def _policy(recipe: Recipe) -> list[Argument]:
    strength = recipe.augmentation_strength
    share = 1.0 if strength is None else strength / 30
    if recipe.augmentation == "randaugment":
        magnitude = 9 if strength is None else strength
        policy = f"rand-m{round(magnitude / 3)}-n2-p1.0"
        return [("aa", policy, f"nearest to two operations at magnitude {magnitude} of 30")]
    if recipe.augmentation == "trivialaugment":
        policy = f"rand-m10-n1-p{share:.3g}-mstd101"
        return [("aa", policy, "nearest to TrivialAugment: one operation, its magnitude uniform")]
    if recipe.augmentation == "autoaugment":
        some = "" if share == 1 else f"; here {share:.3g} of the images are changed, there all"
        return [("aa", "original", f"the policy found on ImageNet{some}")]
    return []


def _regularization(recipe: Recipe) -> list[Argument]:
    lines: list[Argument] = [
        ("mixup", recipe.mixup, "alpha; 0 is off"),
        ("mixup_prob", 1.0, ""),
        ("cutmix", recipe.cutmix, "alpha; 0 is off"),
        ("mixup_switch_prob", 0.5, "where both are on"),
        ("smoothing", recipe.label_smoothing, ""),
        *_class_balance(recipe),
        ("drop", recipe.dropout, "before the classifier"),
        ("drop_path", recipe.drop_path, "of the last block, rising linearly from 0 at the first"),
        ("model_ema", recipe.ema, ""),
    ]
    if recipe.ema:
        lines += [
            ("model_ema_decay", recipe.ema_decay, ""),
            ("model_ema_warmup", True, "nearest to min(decay, (1 + t) / (10 + t)), which has no counterpart"),
        ]
    return lines


def _class_balance(recipe: Recipe) -> list[Argument]:
    if recipe.class_balance == "none":
        return []
    return [("class_balance", None, f"{recipe.class_balance} here; the script has no counterpart")]


def _yaml(value: Any) -> str:
    """Return a scalar or a list as YAML; a float always has a point, or YAML 1.1 reads 1e-05 as text."""
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, float):
        return re.sub(r"^(-?\d+)e", r"\1.0e", repr(value))
    return json.dumps(value)


def _line(key: str, value: Any, why: str) -> str:
    if value is None:
        return f"# {key}: {why}"
    return f"{key}: {_yaml(value)}" + (f"  # {why}" if why else "")


def timm_arguments(
    definition: Definition, recipe: Recipe, data: DataFacts, *, name: str, epochs: int, seed: int
) -> str:
    """Write the recipe as YAML for ``--config`` of timm's train.py (argument names of timm 1.0.x).

    Args:
        definition: The architecture.
        recipe: The recipe.
        data: Classes, channels and normalization.
        name: The name timm_model.py registers (`model_name`).
        epochs: Epochs of the full training.
        seed: Seed of the full training.

    Returns:
        The YAML text, with a comment where a value needs explaining and where something has no counterpart.
    """
    resolution = definition.resolution
    side = recipe.training_side(resolution)
    smaller = (
        "" if side == resolution else f"of the training; evaluate at {resolution} (validate.py --img-size)"
    )
    sections: dict[str, list[Argument]] = {
        "model": [
            ("model", name, ""),
            ("num_classes", len(data.classes), ""),
            ("in_chans", data.in_chans, ""),
        ],
        "data": [
            ("input_size", [data.in_chans, side, side], smaller),
            ("img_size", side, ""),
            (
                "crop_pct",
                resolution / data.resize(resolution),
                f"shorter side to {data.resize(resolution)}, then the center",
            ),
            ("interpolation", data.interpolation, ""),
            ("train_interpolation", data.interpolation, ""),
            ("mean", list(data.mean), ""),
            ("std", list(data.std), ""),
            ("batch_size", recipe.batch_size, "in all; divide by the number of processes"),
            ("seed", seed % 2**31, "of 32 bits there; does not give the same random numbers"),
        ],
        "optimizer": _optimizer(recipe),
        "schedule": _schedule(recipe, epochs),
        "augmentation": _augmentation(recipe, data),
        "regularization": _regularization(recipe),
    }
    lines = [_HEADER]
    for title, entries in sections.items():
        lines.append(f"# {title}")
        lines += [_line(*entry) for entry in entries]
        lines.append("")
    return "\n".join(lines)


def timm_model(name: str) -> str:
    """Write the module that registers the network of this folder with timm.

    Args:
        name: The name to register (`model_name`).

    Returns:
        Python source; importing it needs narsfast and timm, and it reads the files beside it.
    """
    return f'''"""Registers the network of this folder with timm as ``{name}``; ``pretrained=True`` loads its weights."""

from pathlib import Path

from narsfast.emit import timm_config, timm_network
from timm.models import generate_default_cfgs, register_model

_FOLDER = Path(__file__).resolve().parent

default_cfgs = generate_default_cfgs({{"{name}": timm_config(_FOLDER)}})


@register_model
def {name}(pretrained=False, **options):
    """The architecture of definition.json."""
    return timm_network(_FOLDER, "{name}", pretrained, options)
'''
