"""Fields, conditions, canonical genes, sampling, the built-in spaces and the recipe schema."""

from narsfast.common.candidate import Candidate, Value, canonical_json, digest

from ._features import width as feature_width
from ._field import Condition, Field, Kind, Part
from ._fields import Categorical, Fixed, IntRange
from ._load import builtin_spaces, load_space, read_recipe, with_recipe_space
from ._mbconv import (
    DEFAULT_OPTIONS,
    HEADER_NAMES,
    STAGE_NAMES,
    STAGE_OPTIONS,
    WIDE_OPTIONS,
    architecture_names,
)
from ._optimizers import OptimizerInfo, TimmOptimizer, add_optimizer, optimizer_info, optimizers
from ._quantity import parse_quantity
from ._recipe import Recipe
from ._recipe_spaces import recipe_spaces
from ._space import Genes, Space
from ._tables import SpaceTables
from ._vocabulary import ACTIVATIONS, BLOCK_KINDS, GATES, Activation, BlockKind, Gate
from ._width import INPUT_QUARTER, SqueezedWidth, round_width

__all__ = [
    "ACTIVATIONS",
    "BLOCK_KINDS",
    "DEFAULT_OPTIONS",
    "GATES",
    "HEADER_NAMES",
    "INPUT_QUARTER",
    "STAGE_NAMES",
    "STAGE_OPTIONS",
    "WIDE_OPTIONS",
    "Activation",
    "BlockKind",
    "Candidate",
    "Categorical",
    "Condition",
    "Field",
    "Fixed",
    "Gate",
    "Genes",
    "IntRange",
    "Kind",
    "OptimizerInfo",
    "Part",
    "Recipe",
    "Space",
    "SpaceTables",
    "SqueezedWidth",
    "TimmOptimizer",
    "Value",
    "add_optimizer",
    "architecture_names",
    "builtin_spaces",
    "canonical_json",
    "digest",
    "feature_width",
    "load_space",
    "optimizer_info",
    "optimizers",
    "parse_quantity",
    "read_recipe",
    "recipe_spaces",
    "round_width",
    "with_recipe_space",
]
