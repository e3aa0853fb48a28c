"""Architectures: definitions, the zoo, torch networks, and the rows from which statistics are counted."""

from narsfast.ops import Ops, plain_ops, set_ops, share_norms

from ._blocks import ConvNorm, InvertedResidual
from ._definition import Definition, Padding, Row, check_padding, read_definition
from ._lookup import absolute_reference, reference_file, reference_version, unsupported_recipe_fields
from ._model import create_model
from ._network import FEATURE_STRIDES, FeatureInfo, FeatureNetwork, Network, create, resolve_definition
from ._rows import (
    HEADER_COLUMNS,
    ROW_COLUMNS,
    Rows,
    definition_of,
    lower_definitions,
    lower_genes,
    require_stages,
)
from ._spec import NetworkSpec
from ._weights import CLASSIFIER, WEIGHTS_FILE, LostWeightsError, load_weights, save_weights
from ._width import round_width, squeezed_width
from ._zoo import zoo, zoo_definition

__all__ = [
    "CLASSIFIER",
    "FEATURE_STRIDES",
    "HEADER_COLUMNS",
    "ROW_COLUMNS",
    "WEIGHTS_FILE",
    "ConvNorm",
    "Definition",
    "FeatureInfo",
    "FeatureNetwork",
    "InvertedResidual",
    "LostWeightsError",
    "Network",
    "NetworkSpec",
    "Ops",
    "Padding",
    "Row",
    "Rows",
    "absolute_reference",
    "check_padding",
    "create",
    "create_model",
    "definition_of",
    "load_weights",
    "lower_definitions",
    "lower_genes",
    "plain_ops",
    "read_definition",
    "reference_file",
    "reference_version",
    "require_stages",
    "resolve_definition",
    "round_width",
    "save_weights",
    "set_ops",
    "share_norms",
    "squeezed_width",
    "unsupported_recipe_fields",
    "zoo",
    "zoo_definition",
]
