"""The trainer: a definition, a recipe and data become a learning curve and weights."""

from ._evaluate import Evaluation, evaluate, torch_threads
from ._model import train_model
from ._optimizer import build_optimizer, peak_rate
from ._rmsprop import OptimBackend, RMSpropTF
from ._schedule import learning_rate
from ._settings import TrainerSettings
from ._train import Training, train, train_network
from ._trial import TrialTask, run_trial
from ._weights import FlatWeights, MovingAverage, ema_decay

__all__ = [
    "Evaluation",
    "FlatWeights",
    "MovingAverage",
    "OptimBackend",
    "RMSpropTF",
    "TrainerSettings",
    "Training",
    "TrialTask",
    "build_optimizer",
    "ema_decay",
    "evaluate",
    "learning_rate",
    "peak_rate",
    "run_trial",
    "torch_threads",
    "train",
    "train_model",
    "train_network",
]
