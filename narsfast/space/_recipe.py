"""The recipe schema: every setting that a training of the built-in trainer knows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from narsfast.errors import UserError

_BELOW_ONE = "a number from 0 to below 1"
_SHARE = "a number above 0 and at most 1"
_ROUNDING = 1e-9  # how far a share's product may be off: 0.7 * 240 is a little below 168

RENAMED = {"colour": "color"}
"""Fields by the names that version 0.1 had: stored runs and recipes are read with them."""

SIDE_STEP = 8
"""Training images smaller than the architecture's have sides of a multiple of this many pixels (our choice)."""


class Recipe(BaseModel):
    """One way to train; what a space does not mention keeps the default.

    All of them are our defaults; momentum, label smoothing, EMA decay and the factor for SGD are what is
    recalled of FBNetV3's trainings and not checked against the paper. docs/recipes.md has them as a table.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    optimizer: Literal["rmsprop", "sgd", "adamw", "lamb"] = Field(
        "rmsprop", description="'rmsprop', 'sgd', 'adamw' or 'lamb'"
    )
    """RMSProp with epsilon inside the root, SGD with Nesterov momentum, AdamW, or LAMB (NVIDIA's apex only)."""
    learning_rate: float = Field(0.005, gt=0, description="a number above 0")
    """After warm-up, for RMSProp; the other optimizers take it times a factor."""
    sgd_factor: float = Field(4.0, gt=0, description="a number above 0")
    """SGD's learning rate as a multiple of `learning_rate`."""
    adamw_factor: float = Field(0.2, gt=0, description="a number above 0")
    """The learning rate of AdamW and LAMB as a multiple of `learning_rate`: 0.001 where that is its default."""
    adamw_decay_factor: float = Field(1.0, ge=0, description="a number of at least 0")
    """The weight decay of AdamW and LAMB as a multiple of `weight_decay`.

    Theirs is decoupled from the gradient and is usually some thousand times the others'.
    """
    momentum: float = Field(0.9, ge=0, lt=1, description=_BELOW_ONE)
    """Also the decay of the mean gradient (beta 1) of AdamW and LAMB."""
    beta2: float = Field(0.999, ge=0, lt=1, description=_BELOW_ONE)
    """Decay of the mean square of AdamW and LAMB."""
    weight_decay: float = Field(1e-5, ge=0, description="a number of at least 0")
    """Not on norms and biases."""
    batch_size: int = Field(64, ge=2, description="a whole number of at least 2")
    """Images a step, in all micro-batches and processes together."""
    epochs_share: float = Field(1.0, gt=0, le=1, description=_SHARE)
    """Length of the training as a share of the run's: each epoch visits this share of the images.

    So every training has the run's number of epochs, a whole schedule over them and one accuracy for each, and
    trainings of different lengths are compared at the same share of their schedules.
    """
    warmup_epochs: float = Field(1.0, ge=0, description="a number of at least 0")
    """Epochs of linear warm-up."""
    lr_final: float = Field(0.05, gt=0, le=1, description=_SHARE)
    """Learning rate at the end of the schedule, as a share of `learning_rate`."""
    schedule: Literal["exponential", "cosine", "step"] = Field(
        "exponential", description="'exponential', 'cosine' or 'step'"
    )
    """How the learning rate falls to `lr_final`: see `narsfast.training.learning_rate`."""
    schedule_by: Literal["step", "epoch"] = Field("step", description="'step' or 'epoch'")
    """Whether the learning rate changes with every step or is one value an epoch."""
    mixup: float = Field(0.0, ge=0, description="a number of at least 0")
    """Alpha of the Beta distribution; 0 is off."""
    cutmix: float = Field(0.0, ge=0, description="a number of at least 0")
    """The same for CutMix; where both are on, each batch is given one of them, drawn with equal chances."""
    dropout: float = Field(0.0, ge=0, lt=1, description=_BELOW_ONE)
    """Before the classifier."""
    drop_path: float = Field(0.0, ge=0, lt=1, description=_BELOW_ONE)
    """Rate of stochastic depth in the last block."""
    label_smoothing: float = Field(0.1, ge=0, lt=1, description=_BELOW_ONE)
    ema: bool = Field(True, description="true or false")
    """Evaluate an exponential moving average of the weights."""
    ema_decay: float = Field(0.99985, ge=0, lt=1, description=_BELOW_ONE)
    augmentation: Literal["none", "crop", "randaugment", "autoaugment", "trivialaugment"] = Field(
        "crop", description="'none', 'crop', 'randaugment', 'autoaugment' or 'trivialaugment'"
    )
    """Random crops (mirrored where that keeps the class), and a policy of further operations on top."""
    augmentation_strength: int | None = Field(
        None, ge=0, le=30, description="a whole number from 0 to 30, or null for the policy's own"
    )
    """RandAugment: its magnitude. AutoAugment and TrivialAugment, whose magnitudes are their own: of 30 images,
    how many they change. None is the published setting: 9 for RandAugment, 30 for the two others."""
    color: float = Field(0.0, ge=0, le=1, description="a number from 0 to 1")
    """Jitter: brightness, contrast and saturation are multiplied by a number within this of 1; 0 is off."""
    erasing: float = Field(0.0, ge=0, le=1, description="a number from 0 to 1")
    """Probability that a random rectangle of an image is erased."""
    train_resolution: float = Field(1.0, gt=0, le=1, description=_SHARE)
    """Resolution of the training images as a share of the architecture's, which evaluation always has.

    Rounded down to a multiple of 8 pixels.
    """

    @model_validator(mode="before")
    @classmethod
    def _rename(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {RENAMED.get(name, name): value for name, value in values.items()}

    @classmethod
    def of(cls, values: Mapping[str, Any], source: str = "recipe") -> Recipe:
        """The recipe with `values` (a candidate's recipe, or a file's).

        Args:
            values: any of the fields.
            source: where the values come from, for the message.

        Raises:
            UserError: an unknown field or an illegal value; the sentence says what would be right.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            raise UserError(f"{source}.{name} is {first['input']!r}; {recipe_remedy(name)}") from None

    def training_side(self, resolution: int) -> int:
        """Side of the training images in pixels, for an architecture of this resolution."""
        if self.train_resolution == 1:
            return resolution
        steps = math.floor(self.train_resolution * resolution / SIDE_STEP + _ROUNDING)
        return min(resolution, SIDE_STEP * max(1, steps))

    def epoch_steps(self, whole: int) -> int:
        """Steps of an epoch, of the `whole` steps of a pass over all images; rounded up."""
        return math.ceil(self.epochs_share * whole - _ROUNDING)


def recipe_remedy(name: str) -> str:
    """What would be right for the recipe field `name`, or which fields there are."""
    field = Recipe.model_fields.get(RENAMED.get(name, name))
    if field is None:
        return "there is no such field in a recipe, its fields are " + ", ".join(Recipe.model_fields)
    return f"it must be {field.description}"
