"""The accuracy predictor: pretraining on statistics, fitting to labels, members, baselines, storage."""

from ._baselines import baselines
from ._inputs import Statistics
from ._predictor import Predictor, pretrain
from ._pretraining import PretrainingReport, StatisticReport
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
    "baselines",
    "pretrain",
]
