"""What a user takes home: one folder per found network, and the way back from it."""

from ._atomic import atomic_directory, atomic_write
from ._emission import Emission, emit
from ._facts import DataFacts, Measurements
from ._load import Preprocessing, load, read_preprocessing, transform
from ._notation import block_notation
from ._onnx import OnnxCheck, compare_onnx, export_onnx
from ._timm import timm_arguments

__all__ = [
    "DataFacts",
    "Emission",
    "Measurements",
    "OnnxCheck",
    "Preprocessing",
    "atomic_directory",
    "atomic_write",
    "block_notation",
    "compare_onnx",
    "emit",
    "export_onnx",
    "load",
    "read_preprocessing",
    "timm_arguments",
    "transform",
]
