"""The recipe schema: every setting that a training of the built-in trainer knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from narsfast.errors import UserError


class Recipe(BaseModel):
    """One way to train; what a space does not mention keeps the default.

    All of them are our defaults; momentum, label smoothing, EMA decay and the factor for SGD are what is
    recalled of FBNetV3's trainings and not checked against the paper.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    optimizer: Literal["rmsprop", "sgd"] = Field("rmsprop", description="'rmsprop' or 'sgd'")
    """RMSProp with epsilon inside the root, or SGD with Nesterov momentum."""
    learning_rate: float = Field(0.005, gt=0, description="a number above 0")
    """After warm-up, for RMSProp; SGD takes it times `sgd_factor`."""
    sgd_factor: float = Field(4.0, gt=0, description="a number above 0")
    momentum: float = Field(0.9, ge=0, lt=1, description="a number from 0 to below 1")
    weight_decay: float = Field(1e-5, ge=0, description="a number of at least 0")
    """Not on norms and biases."""
    batch_size: int = Field(64, ge=1, description="a whole number of at least 1")
    """Images a step, in all micro-batches and processes together."""
    warmup_epochs: float = Field(1.0, ge=0, description="a number of at least 0")
    """Epochs of linear warm-up."""
    lr_final: float = Field(0.05, gt=0, le=1, description="a number above 0 and at most 1")
    """Learning rate at the end of the schedule, as a share of `learning_rate`."""
    schedule: Literal["exponential", "cosine", "step"] = Field(
        "exponential", description="'exponential', 'cosine' or 'step'"
    )
    """How the learning rate falls to `lr_final`: see `narsfast.training.learning_rate`."""
    schedule_by: Literal["step", "epoch"] = Field("step", description="'step' or 'epoch'")
    """Whether the learning rate changes with every step or is one value an epoch."""
    mixup: float = Field(0.0, ge=0, description="a number of at least 0")
    """Alpha of the Beta distribution; 0 is off."""
    dropout: float = Field(0.0, ge=0, lt=1, description="a number from 0 to below 1")
    """Before the classifier."""
    drop_path: float = Field(0.0, ge=0, lt=1, description="a number from 0 to below 1")
    """Rate of stochastic depth in the last block."""
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="a number from 0 to below 1")
    ema: bool = Field(True, description="true or false")
    """Evaluate an exponential moving average of the weights."""
    ema_decay: float = Field(0.99985, ge=0, lt=1, description="a number from 0 to below 1")
    augmentation: Literal["none", "crop", "randaugment", "autoaugment"] = Field(
        "crop", description="'none', 'crop', 'randaugment' or 'autoaugment'"
    )

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
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            raise UserError(f"{source}.{name} is {first['input']!r}; {recipe_remedy(name)}") from None


def recipe_remedy(name: str) -> str:
    """What would be right for the recipe field `name`, or which fields there are."""
    field = Recipe.model_fields.get(name)
    if field is None:
        return "there is no such field in a recipe, its fields are " + ", ".join(Recipe.model_fields)
    return f"it must be {field.description}"
