"""The accuracy predictor: pretraining on statistics, fitting to labels, validation, storage."""

from ._inputs import Statistics
from ._predictor import Predictor, pretrain
from ._pretraining import PretrainingReport, StatisticReport
from ._process import LeaveOneOut, Noise, Process
from ._regressors import compare_regressors
from ._storage import DamagedPredictorError, load_predictor, save_predictor
from ._validation import UNCALIBRATED, CrossValidation, Deviation
from ._weights import MIN_STATISTIC, PredictorWeights

__all__ = [
    "MIN_STATISTIC",
    "UNCALIBRATED",
    "CrossValidation",
    "DamagedPredictorError",
    "Deviation",
    "LeaveOneOut",
    "Noise",
    "Predictor",
    "PredictorWeights",
    "PretrainingReport",
    "Process",
    "StatisticReport",
    "Statistics",
    "compare_regressors",
    "load_predictor",
    "pretrain",
    "save_predictor",
]
