"""The one look at the test split that each finished training gets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from narsfast.arch import WEIGHTS_FILE, load_weights
from narsfast.data import Dataset
from narsfast.runs import ClassResults
from narsfast.training import TrialTask, evaluate, training_device

from ._class_results import class_results


@dataclass(frozen=True)
class FinalTest:
    """A tested network.

    Attributes:
        network: On the CPU, in evaluation mode.
        accuracy: On the test split, percent.
        by_class: The same answers by class.
    """

    network: nn.Module
    accuracy: float
    by_class: ClassResults


def final_test(task: TrialTask, data: Dataset, *, examples: bool = True) -> FinalTest:
    """Load the weights of a finished training and test the network.

    The images are read by Pillow, whatever loader the training had: that is how users of an emitted network read
    theirs, and the number does not depend on what is installed here.

    Args:
        task: The training.
        data: Its test split is read.
        examples: Whether some of the confused images are kept.
    """
    data = data.prepared(task.preparation)
    network = task.build(data)
    load_weights(network, Path(str(task.output), WEIGHTS_FILE))
    network.to(training_device(task.settings.device))
    tested = evaluate(network, data.test, task.network.resolution, task.settings.threads_per_trial)
    by_class = class_results(
        tested.logits, data.test, data.classes, files=data.files(data.test), examples=examples
    )
    return FinalTest(network.cpu().eval(), tested.accuracy, by_class)
