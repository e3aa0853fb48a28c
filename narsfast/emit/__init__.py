"""Emission: one folder per found network, and loading from it."""

from narsfast.common.callable_package import make_callable
from narsfast.common.emitted import Preprocessing, check_hashes, read_json, read_preprocessing

from ._emission import Emission, emit
from ._facts import GIVEN, DataFacts, Measurements, Origin, describe_data
from ._load import load
from ._notation import block_notation
from ._onnx import OnnxCheck, compare_onnx, export_onnx
from ._timm import model_name, timm_arguments
from ._timm_network import TimmNetwork, timm_config, timm_network
from ._transform import load_transform

__all__ = [
    "GIVEN",
    "DataFacts",
    "Emission",
    "Measurements",
    "OnnxCheck",
    "Origin",
    "Preprocessing",
    "TimmNetwork",
    "block_notation",
    "check_hashes",
    "compare_onnx",
    "describe_data",
    "emit",
    "export_onnx",
    "load",
    "load_transform",
    "model_name",
    "read_json",
    "read_preprocessing",
    "timm_arguments",
    "timm_config",
    "timm_network",
]

make_callable(__name__)  # `narsfast.emit(...)`
