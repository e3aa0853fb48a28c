"""Fields, conditions, canonical genes, sampling, the built-in spaces and the recipe schema."""

from narsfast.common.candidate import Candidate, Value, canonical_json, digest

from ._features import width as feature_width
from ._field import Condition, Field, Kind, Part
from ._fields import Categorical, Fixed, IntRange
from ._load import builtin_spaces, load_space, read_recipe, with_recipe_space
from ._mbconv import HEADER_NAMES, STAGE_NAMES, architecture_names
from ._optimizers import OptimizerInfo, TimmOptimizer, add_optimizer, optimizer_info, optimizers
from ._quantity import parse_quantity
from ._recipe import Recipe
from ._recipe_spaces import default_recipe, recipe_spaces
from ._space import Genes, Space
from ._tables import SpaceTables

__all__ = [
    "HEADER_NAMES",
    "STAGE_NAMES",
    "Candidate",
    "Categorical",
    "Condition",
    "Field",
    "Fixed",
    "Genes",
    "IntRange",
    "Kind",
    "OptimizerInfo",
    "Part",
    "Recipe",
    "Space",
    "SpaceTables",
    "TimmOptimizer",
    "Value",
    "add_optimizer",
    "architecture_names",
    "builtin_spaces",
    "canonical_json",
    "default_recipe",
    "digest",
    "feature_width",
    "load_space",
    "optimizer_info",
    "optimizers",
    "parse_quantity",
    "read_recipe",
    "recipe_spaces",
    "with_recipe_space",
]
