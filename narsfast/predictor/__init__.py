"""The accuracy predictor: pretraining on statistics, fitting to labels, validation, storage."""

from ._inference import native_surrogate
from ._inputs import Statistics
from ._predictor import Predictor, pretrain
from ._pretraining import PretrainingReport, StatisticReport
from ._prior import Effects, Prior
from ._process import LeaveOneOut, Noise, Process
from ._regressors import compare_regressors
from ._storage import DamagedPredictorError, load_predictor, save_predictor
from ._surrogate import Surrogate
from ._validation import UNCALIBRATED, CrossValidation, Deviation
from ._weights import MIN_STATISTIC, MixtureWeights, PredictorWeights, ProcessWeights, Weights

__all__ = [
    "MIN_STATISTIC",
    "UNCALIBRATED",
    "CrossValidation",
    "DamagedPredictorError",
    "Deviation",
    "Effects",
    "LeaveOneOut",
    "MixtureWeights",
    "Noise",
    "Predictor",
    "PredictorWeights",
    "PretrainingReport",
    "Prior",
    "Process",
    "ProcessWeights",
    "StatisticReport",
    "Statistics",
    "Surrogate",
    "Weights",
    "compare_regressors",
    "load_predictor",
    "native_surrogate",
    "pretrain",
    "save_predictor",
]
