"""Architectures: definitions, the zoo, torch networks, and the rows from which statistics are counted."""

from narsfast.ops import Ops, plain_ops, set_ops, share_norms
from narsfast.space import Activation, BlockKind, Gate, SqueezedWidth, round_width

from ._available_parents import AvailableParent, available_parents
from ._blocks import ConvNorm, FusedResidual, InvertedResidual
from ._child import HIDDEN, WHOLE, Family, Place, added
from ._definition import Definition, Padding, check_padding, read_definition
from ._inherit import Importance, Inheritance
from ._kept import KEPT_COLUMNS, Kept, KeptPart, kept, kept_of
from ._keys import NAMINGS, Naming, key_map, renamed
from ._lookup import absolute_reference, reference_file, reference_version, unsupported_recipe_fields
from ._model import create_model
from ._network import FEATURE_STRIDES, FeatureInfo, FeatureNetwork, Network, create, resolve_definition
from ._parent import Images, Parent, read_parent, stored_sha256
from ._parents import ParentReference, load_parents, load_pretrained, parse_parent
from ._plan import Block, HeadPlan, blocks_of, head_of
from ._row import Row, hidden_width
from ._rows import (
    HEADER_COLUMNS,
    ROW_COLUMNS,
    Rows,
    definition_of,
    lower_definitions,
    lower_genes,
    lower_header,
    lower_row,
    network_settings,
    require_stages,
)
from ._spec import NetworkSpec, specs_of
from ._weights import CLASSIFIER, WEIGHTS_FILE, LostWeightsError, load_weights, read_weights, save_weights
from ._zoo import zoo, zoo_definition

__all__ = [
    "CLASSIFIER",
    "FEATURE_STRIDES",
    "HEADER_COLUMNS",
    "HIDDEN",
    "KEPT_COLUMNS",
    "NAMINGS",
    "ROW_COLUMNS",
    "WEIGHTS_FILE",
    "WHOLE",
    "Activation",
    "AvailableParent",
    "Block",
    "BlockKind",
    "ConvNorm",
    "Definition",
    "Family",
    "FeatureInfo",
    "FeatureNetwork",
    "FusedResidual",
    "Gate",
    "HeadPlan",
    "Images",
    "Importance",
    "Inheritance",
    "InvertedResidual",
    "Kept",
    "KeptPart",
    "LostWeightsError",
    "Naming",
    "Network",
    "NetworkSpec",
    "Ops",
    "Padding",
    "Parent",
    "ParentReference",
    "Place",
    "Row",
    "Rows",
    "SqueezedWidth",
    "absolute_reference",
    "added",
    "available_parents",
    "blocks_of",
    "check_padding",
    "create",
    "create_model",
    "definition_of",
    "head_of",
    "hidden_width",
    "kept",
    "kept_of",
    "key_map",
    "load_parents",
    "load_pretrained",
    "load_weights",
    "lower_definitions",
    "lower_genes",
    "lower_header",
    "lower_row",
    "network_settings",
    "parse_parent",
    "plain_ops",
    "read_definition",
    "read_parent",
    "read_weights",
    "reference_file",
    "reference_version",
    "renamed",
    "require_stages",
    "resolve_definition",
    "round_width",
    "save_weights",
    "set_ops",
    "share_norms",
    "specs_of",
    "stored_sha256",
    "unsupported_recipe_fields",
    "zoo",
    "zoo_definition",
]
