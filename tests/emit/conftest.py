from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from narsfast.arch import Definition, Network, Row, create
from narsfast.data import Dataset, batches, load_data
from narsfast.emit import DataFacts, Emission, Measurements, describe_data, emit
from narsfast.space import Recipe

DEFINITION = Definition(
    name="small",
    resolution=32,
    stem_channels=8,
    stages=(
        (Row(3, 1, 8, 1, 1, False),),
        (Row(5, 4, 16, 2, 1, True), Row(3, 2, 16, 1, 2, True)),
        (Row(3, 3, 24, 2, 1, False),),
    ),
    head_expansion=4,
    head_features=64,
)

RECIPE = Recipe(learning_rate=0.02, weight_decay=1e-5, mixup=0.2, dropout=0.1, drop_path=0.05, batch_size=32)


def measurements() -> Measurements:
    return Measurements(
        budget="macs<=1M",
        statistics={"macs": 812345, "params": 34567, "peak_memory": 65536},
        predicted=91.25,
        validation=97.5,
        test=96.94,
        epochs=12,
        seed=5,
        candidate="0123456789abcdef",
        seconds=34.5,
    )


def shaken(network: Network, seed: int = 0) -> Network:
    """Change every weight and buffer of a network from its initial value."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in [*network.parameters(), *network.buffers()]:
            if tensor.is_floating_point():
                tensor.add_(0.1 * torch.rand(tensor.shape, generator=generator))
    return network


@dataclass
class Emitted:
    network: Network
    emission: Emission
    facts: DataFacts
    found: Measurements
    batches: list[tuple[Tensor, Tensor]]


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return load_data("digits")


@pytest.fixture(scope="session")
def emitted(tmp_path_factory, digits) -> Emitted:
    """Emit one network for all tests, as its ONNX export takes seconds."""
    network = shaken(create(DEFINITION, num_classes=10, in_chans=1, dropout=0.1, drop_path=0.05))
    test = list(batches(digits.test, 32, 128))
    facts = describe_data(digits)
    directory = tmp_path_factory.mktemp("emitted") / "macs_1M"
    emission = emit(directory, network, RECIPE, facts, measurements(), test_batches=test)
    return Emitted(network, emission, facts, measurements(), test)
