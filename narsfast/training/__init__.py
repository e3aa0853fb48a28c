"""The trainer: a definition, a recipe and data become a learning curve and weights."""

from narsfast.common.options import Device, OptimBackend, PrecisionName

from ._apex import ApexKind, apex_kind
from ._backend import resolve_backend
from ._checkpoint import CHECKPOINT_FILE
from ._class_balance import class_weights
from ._default_epochs import Purpose, Start, default_epochs
from ._device import resolve_device, training_device
from ._distillation import Distillation, Teacher, distilled_loss
from ._evaluate import Evaluation, evaluate
from ._layers import layer_numbers
from ._optimizer import build_optimizer
from ._optimizers import check_optimizers, effective_backend, register_optimizer
from ._precision import Precision
from ._process_group import ProcessGroup, process_group
from ._rmsprop import RMSpropTF
from ._schedule import learning_rate
from ._settings import TrainerSettings
from ._start import InheritedStart, StartingPoint, first_images
from ._timing import StepTimes, time_steps
from ._train import Training, train, train_network
from ._trial import TaskData, TrialTask, remove_checkpoint, run_trial
from ._weights import FlatWeights, MovingAverage, ema_decay

__all__ = [
    "CHECKPOINT_FILE",
    "ApexKind",
    "Device",
    "Distillation",
    "Evaluation",
    "FlatWeights",
    "InheritedStart",
    "MovingAverage",
    "OptimBackend",
    "Precision",
    "PrecisionName",
    "ProcessGroup",
    "Purpose",
    "RMSpropTF",
    "Start",
    "StartingPoint",
    "StepTimes",
    "TaskData",
    "Teacher",
    "TrainerSettings",
    "Training",
    "TrialTask",
    "apex_kind",
    "build_optimizer",
    "check_optimizers",
    "class_weights",
    "default_epochs",
    "distilled_loss",
    "effective_backend",
    "ema_decay",
    "evaluate",
    "first_images",
    "layer_numbers",
    "learning_rate",
    "process_group",
    "register_optimizer",
    "remove_checkpoint",
    "resolve_backend",
    "resolve_device",
    "run_trial",
    "time_steps",
    "train",
    "train_network",
    "training_device",
]
