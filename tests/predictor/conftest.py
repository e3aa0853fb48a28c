"""A small space with a synthetic accuracy, and predictors that are small enough for tests."""

from types import SimpleNamespace

import numpy as np
import pytest

from narsfast.cost import Counter
from narsfast.predictor import pretrain
from narsfast.space import load_space

SMALL = {"members": 2, "encoder": (32, 16), "head": (16,)}


def accuracy(counter, genes, seed=0):
    """Return accuracies in percent that rise with MACs, and slightly with a random linear function of all features."""
    features = counter.space.features(genes).astype(float)
    linear = features @ np.random.default_rng(seed).normal(size=features.shape[1])
    macs = np.log(counter(genes)[:, 0]) if counter.names else np.zeros(len(genes))
    return 80 + 5 * np.tanh((macs - macs.mean()) / (macs.std() + 1e-9)) + 0.7 * (linear - linear.mean())


@pytest.fixture(scope="session")
def world():
    """Provide a counter, 600 candidates with their accuracies, and a small pretrained predictor."""
    counter = Counter(load_space("tiny"), in_chans=1, num_classes=10)
    genes = counter.space.random(600, seed=1)
    return SimpleNamespace(
        counter=counter,
        space=counter.space,
        genes=genes,
        labels=accuracy(counter, genes),
        pretrained=pretrain(counter, genes, seed=0, **SMALL),
    )


@pytest.fixture(scope="session")
def fitted(world):
    """Fit the small predictor to 40 labels."""
    return world.pretrained.fit(world.genes[:40], world.labels[:40], seed=3)


@pytest.fixture(scope="session")
def recipe_only():
    """Provide the counter of a space that searches no architecture."""
    space = load_space("tiny")
    architecture = space.decode(space.random(1, seed=5))[0].architecture
    return Counter(space.fix(architecture), in_chans=1, num_classes=10)


@pytest.fixture(scope="session")
def small():
    """Provide the sizes of a small predictor."""
    return SMALL
