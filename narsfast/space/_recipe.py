"""The recipe schema: every setting of the built-in trainer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from narsfast.errors import UserError

from ._optimizers import find_optimizer, optimizer_info

_BELOW_ONE = "a number from 0 to below 1"
_SHARE = "a number above 0 and at most 1"
_ROUNDING = 1e-9  # tolerance of a product with a share: 0.7 * 240 is a little below 168

RENAMED = {"colour": "color"}
"""Names that fields had in version 0.1, which stored runs and recipes still use."""

SIDE_STEP = 8
"""Smaller training images have sides that are multiples of this, in pixels (this project's choice)."""


def _known_optimizer(name: str) -> str:
    try:
        find_optimizer(name)
    except LookupError as error:
        raise ValueError(error.args[0]) from None
    return name


class Recipe(BaseModel):
    """One way to train; fields that a space does not mention have their defaults.

    All defaults are this project's choice. Those of momentum, label smoothing, EMA decay and SGD's factor are recalled
    from FBNetV3's trainings, without a check against the paper. docs/recipes.md lists all fields.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    optimizer: Annotated[str, AfterValidator(_known_optimizer)] = Field(
        "rmsprop", description="the name of an optimizer, such as 'rmsprop'"
    )
    """A registered optimizer (see `narsfast.space.optimizers`), or ``FILE.py:NAME`` of a file that registers NAME."""
    learning_rate: float = Field(0.005, gt=0, description="a number above 0")
    """Learning rate after warm-up, for RMSProp; other optimizers multiply it by a factor."""
    sgd_factor: float = Field(4.0, gt=0, description="a number above 0")
    """SGD's learning rate as a multiple of `learning_rate`."""
    adamw_factor: float = Field(0.2, gt=0, description="a number above 0")
    """Learning rate of AdamW and LAMB as a multiple of `learning_rate`: 0.001 for its default."""
    adamw_decay_factor: float = Field(1.0, ge=0, description="a number of at least 0")
    """Weight decay of AdamW and LAMB as a multiple of `weight_decay`.

    It is decoupled from the gradient and usually some thousand times that of the other optimizers.
    """
    momentum: float = Field(0.9, ge=0, lt=1, description=_BELOW_ONE)
    """Momentum; for AdamW and LAMB beta 1, the decay of the mean gradient."""
    beta2: float = Field(0.999, ge=0, lt=1, description=_BELOW_ONE)
    """Decay of the mean squared gradient of AdamW and LAMB."""
    weight_decay: float = Field(1e-5, ge=0, description="a number of at least 0")
    """Weight decay, not applied to norms and biases."""
    batch_size: int = Field(64, ge=2, description="a whole number of at least 2")
    """Images per step, in all micro-batches and processes together."""
    epochs_share: float = Field(1.0, gt=0, le=1, description=_SHARE)
    """Length of the training as a share of the run's: each epoch visits this share of the images.

    Every training thus has the run's number of epochs, a complete schedule over them and one accuracy per epoch, and
    trainings of different lengths are compared at the same share of their schedules.
    """
    warmup_epochs: float = Field(1.0, ge=0, description="a number of at least 0")
    """Epochs of linear warm-up."""
    lr_final: float = Field(0.05, gt=0, le=1, description=_SHARE)
    """Learning rate at the end of the schedule, as a share of `learning_rate`."""
    schedule: Literal["exponential", "cosine", "step"] = Field(
        "exponential", description="'exponential', 'cosine' or 'step'"
    )
    """How the learning rate falls to `lr_final`; see `narsfast.training.learning_rate`."""
    schedule_by: Literal["step", "epoch"] = Field("step", description="'step' or 'epoch'")
    """Whether the learning rate changes with every step or once per epoch."""
    mixup: float = Field(0.0, ge=0, description="a number of at least 0")
    """Alpha of mixup's Beta distribution; 0 is off."""
    cutmix: float = Field(0.0, ge=0, description="a number of at least 0")
    """Alpha of CutMix's Beta distribution; 0 is off. With mixup on too, each batch gets one of both at random."""
    dropout: float = Field(0.0, ge=0, lt=1, description=_BELOW_ONE)
    """Rate of dropout before the classifier."""
    drop_path: float = Field(0.0, ge=0, lt=1, description=_BELOW_ONE)
    """Rate of stochastic depth in the last block."""
    class_balance: Literal["none", "sampling", "loss"] = Field(
        "none", description="'none', 'sampling' or 'loss'"
    )
    """Whether classes of few images count as much as those of many.

    ``sampling`` draws as many images of each class in an epoch; ``loss`` counts an image by the inverse frequency of its
    class (`narsfast.training.class_weights`). Accuracy in the search remains that of the images as they are.
    """
    label_smoothing: float = Field(0.1, ge=0, lt=1, description=_BELOW_ONE)
    ema: bool = Field(True, description="true or false")
    """Evaluate an exponential moving average of the weights."""
    ema_decay: float = Field(0.99985, ge=0, lt=1, description=_BELOW_ONE)
    augmentation: Literal["none", "crop", "randaugment", "autoaugment", "trivialaugment"] = Field(
        "crop", description="'none', 'crop', 'randaugment', 'autoaugment' or 'trivialaugment'"
    )
    """Random crops (mirrored where that keeps the class), and optionally a policy of more operations."""
    augmentation_strength: int | None = Field(
        None, ge=0, le=30, description="a whole number from 0 to 30, or null for the policy's own"
    )
    """RandAugment's magnitude. AutoAugment and TrivialAugment, which have magnitudes of their own, change this many of
    30 images. None is the published setting: 9 for RandAugment, 30 for the two others."""
    color: float = Field(0.0, ge=0, le=1, description="a number from 0 to 1")
    """Color jitter: brightness, contrast and saturation are multiplied by 1 plus or minus up to this; 0 is off."""
    erasing: float = Field(0.0, ge=0, le=1, description="a number from 0 to 1")
    """Probability that a random rectangle of an image is erased."""
    train_resolution: float = Field(1.0, gt=0, le=1, description=_SHARE)
    """Resolution of the training images as a share of the architecture's, rounded down to a multiple of 8 pixels.

    Evaluation always has the architecture's resolution.
    """
    layer_decay: float = Field(1.0, gt=0, le=1, description=_SHARE)
    """Learning rate of a layer as a multiple of that of the next one, toward the classifier; 1 is the same for all.

    See `narsfast.training.layer_numbers` for what a layer is.
    """
    head_factor: float = Field(1.0, gt=0, description="a number above 0")
    """Learning rate of the classifier, as a multiple of the recipe's."""
    frozen: float = Field(0.0, ge=0, le=1, description="a number from 0 to 1")
    """Share of the layers below the classifier that do not change at first, counted from the images."""
    frozen_until: float = Field(1.0, gt=0, le=1, description=_SHARE)
    """Share of the schedule for which they do not; 1 is all of it."""
    keep_statistics: bool = Field(True, description="true or false")
    """Whether batch norms of frozen layers keep their running statistics, and normalize by them."""

    @model_validator(mode="before")
    @classmethod
    def _rename(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {RENAMED.get(name, name): value for name, value in values.items()}

    @classmethod
    def of(cls, values: Mapping[str, Any], source: str = "recipe") -> Recipe:
        """Build a recipe from `values`, such as a candidate's recipe or the content of a file.

        Args:
            values: Any of the fields, by name.
            source: Where the values come from, for the message.

        Raises:
            UserError: A field is unknown or a value illegal; the message says what would be right.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            remedy = str(first["ctx"]["error"]) if first["type"] == "value_error" else recipe_remedy(name)
            raise UserError(f"{source}.{name} is {first['input']!r}; {remedy}") from None

    @property
    def rate_factor(self) -> float:
        """Factor of the learning rate for this recipe's optimizer."""
        return self._factor(optimizer_info(self.optimizer).rate_factor)

    @property
    def peak_rate(self) -> float:
        """Learning rate of the optimizer after warm-up, including its factor."""
        return self.learning_rate * self.rate_factor

    @property
    def effective_weight_decay(self) -> float:
        """Weight decay of the optimizer, including its factor."""
        return self.weight_decay * self._factor(optimizer_info(self.optimizer).decay_factor)

    def _factor(self, field: str | None) -> float:
        return 1.0 if field is None else float(getattr(self, field))

    def training_side(self, resolution: int) -> int:
        """Return the side of the training images in pixels, for an architecture of this resolution."""
        if self.train_resolution == 1:
            return resolution
        steps = math.floor(self.train_resolution * resolution / SIDE_STEP + _ROUNDING)
        return min(resolution, SIDE_STEP * max(1, steps))

    def epoch_steps(self, steps_per_pass: int) -> int:
        """Return the number of steps of an epoch, rounded up; `steps_per_pass` visit all images once."""
        return math.ceil(self.epochs_share * steps_per_pass - _ROUNDING)


def recipe_remedy(name: str) -> str:
    """Return what would be right for the recipe field `name`, or which fields there are."""
    field = Recipe.model_fields.get(RENAMED.get(name, name))
    if field is None:
        return "there is no such field in a recipe, its fields are " + ", ".join(Recipe.model_fields)
    return f"it must be {field.description}"
