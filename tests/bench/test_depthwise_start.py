import math

import pytest
from torch import nn

from bench import depthwise_start
from narsfast.arch import create


def row(network, seed, start, optimizer, test):
    return {"network": network, "seed": seed, "start": start, "optimizer": optimizer, "test": test}


def test_gaps_are_of_the_same_network_and_seed():
    rows = [
        row(network, seed, start, optimizer, 50 + 10 * network + seed + gain * (start == "all"))
        for start in depthwise_start.STARTS
        for network, seed, gain in ((0, 0, 1.0), (0, 1, 3.0), (1, 0, 2.0))
        for optimizer in depthwise_start.RECIPES
    ]
    figures = depthwise_start.figures_of(rows)
    assert figures["sgd_gap"] == figures["rmsprop_gap"] == pytest.approx(2.0)
    assert figures["sgd_gap_error"] == pytest.approx(1 / math.sqrt(3))


def test_only_depthwise_weights_start_otherwise():
    (definition, macs), *others = depthwise_start.networks()
    assert len(others) == depthwise_start.NETWORKS - 1
    assert 4_000_000 <= macs <= 20_000_000
    network = create(definition, 10)
    before = {name: value.clone() for name, value in network.named_parameters()}
    depthwise_start.start_within_groups(network)
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            larger = module.weight.std() / before[f"{name}.weight"].std()
            expected = math.sqrt(module.groups) if module.groups > 1 else 1.0
            assert larger.item() == pytest.approx(expected, rel=0.35)


def test_one_training_repeats():
    case = (0, "group", "sgd", 0, 1, "digits")
    first = depthwise_start.accuracy(*case)
    assert 0 <= first <= 100
    assert first == depthwise_start.accuracy(*case)
