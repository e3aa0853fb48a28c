import dataclasses
import sys

import numpy as np
import pytest

from narsfast.arch import Definition
from narsfast.data import Dataset, load_data
from narsfast.space import _optimizers
from narsfast.training import _apex
from narsfast.training import _optimizers as builders


def part(split, count):
    """Return the first images of a split, with equally many of each class."""
    indices = np.concatenate([np.flatnonzero(split.labels == c)[: count // 10] for c in range(10)])
    images = type(split.images)([np.asarray(i) for i in split.images.read(indices)])
    return dataclasses.replace(split, labels=split.labels[indices], images=images, _evaluation={})


@pytest.fixture(scope="session")
def few_digits() -> Dataset:
    """Provide 160 training and 80 validation and test digits."""
    data = load_data("digits")
    splits = {"train": part(data.train, 160), "val": part(data.val, 80), "test": part(data.test, 80)}
    return dataclasses.replace(data, **splits)


@pytest.fixture(scope="session")
def small() -> Definition:
    """Provide a network of 0.1 M MACs with a shortcut and a squeeze-excite."""
    stages = [[[3, 1, 8, 1, 2, False, None]], [[3, 2, 16, 2, 1, True, None], [3, 2, 16, 1, 1, True, None]]]
    return Definition.from_dict(
        {
            "name": "small",
            "resolution": 16,
            "stem_channels": 8,
            "stages": stages,
            "head_expansion": 2,
            "head_features": 32,
        }
    )


@pytest.fixture
def apex(tmp_path, monkeypatch):
    """Provide an empty folder on sys.path for packages named apex, and forget them afterwards."""

    def forget():
        _apex.find_apex.cache_clear()
        for name in [name for name in sys.modules if name.partition(".")[0] in ("apex", "amp_C")]:
            del sys.modules[name]

    monkeypatch.syspath_prepend(tmp_path)
    forget()
    yield tmp_path
    forget()


@pytest.fixture
def own_optimizers(monkeypatch):
    """Hold the built-in optimizers alone, and forget what a test registers."""
    builtin = {info.name: info for info in _optimizers._BUILTIN}
    monkeypatch.setattr(_optimizers, "_registry", builtin)
    monkeypatch.setattr(builders, "_entries", {name: builders._entries[name] for name in builtin})
