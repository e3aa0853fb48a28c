"""The one look at the test split that each finished training gets."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from narsfast.arch import WEIGHTS_FILE, load_weights
from narsfast.data import Dataset
from narsfast.training import TrialTask, evaluate, training_device


def final_test(task: TrialTask, data: Dataset) -> tuple[nn.Module, float]:
    """Load the weights of a finished training and test the network.

    The images are read by Pillow, whatever loader the training had: that is how users of an emitted network read
    theirs, and the number does not depend on what is installed here.

    Returns:
        The network on the CPU in evaluation mode, and its accuracy on the test split in percent.
    """
    network = task.network.build(len(data.classes), data.in_chans)
    load_weights(network, Path(str(task.output), WEIGHTS_FILE))
    network.to(training_device(task.settings.device))
    tested = evaluate(network, data.test, task.network.resolution, task.settings.threads_per_trial)
    return network.cpu().eval(), tested.accuracy
