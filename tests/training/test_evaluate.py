import numpy as np
import torch
from torch import nn

from narsfast.arch import create
from narsfast.common.threads import torch_threads
from narsfast.data import batches
from narsfast.training import evaluate


class Constant(nn.Module):
    """Always says the same class, and in training mode something else."""

    def __init__(self, label):
        super().__init__()
        self.label = label

    def forward(self, x):
        logits = torch.zeros(len(x), 10)
        logits[:, 0 if self.training else self.label] = 1
        return logits


def test_accuracy_of_a_constant_guess_is_its_share(few_digits):
    data = few_digits
    labels = np.repeat([3, 5], [60, 20])
    split = type(data.val)("val", labels, data.val.images, data.preprocess)
    network = Constant(3)
    assert evaluate(network, split, 16).accuracy == 75
    assert network.training


def test_logits_are_in_the_order_of_the_split(few_digits, small):
    torch.manual_seed(0)
    network = create(small, num_classes=10, in_chans=1, dropout=0.0, drop_path=0.0).eval()
    result = evaluate(network, few_digits.test, 16)
    images = torch.cat([x for x, _ in batches(few_digits.test, 16, 1000)])
    with torch.inference_mode():
        torch.testing.assert_close(result.logits, network(images))
    correct = result.logits.argmax(1).numpy() == few_digits.test.labels
    assert result.accuracy == 100 * correct.mean()
    assert not network.training


def test_number_of_threads_is_restored():
    before = torch.get_num_threads()
    with torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
        with torch_threads(None):
            assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
