"""The accuracy predictor: pretraining on statistics, fitting to labels, members, regressors, storage."""

from ._inputs import Statistics
from ._predictor import Predictor, pretrain
from ._pretraining import PretrainingReport, StatisticReport
from ._regressors import compare_regressors
from ._storage import load_predictor, save_predictor
from ._validation import MEMBERS_ALONE, CrossValidation, Deviation
from ._weights import LEAST_STATISTIC, PredictorWeights

__all__ = [
    "LEAST_STATISTIC",
    "MEMBERS_ALONE",
    "CrossValidation",
    "Deviation",
    "Predictor",
    "PredictorWeights",
    "PretrainingReport",
    "StatisticReport",
    "Statistics",
    "compare_regressors",
    "load_predictor",
    "pretrain",
    "save_predictor",
]
