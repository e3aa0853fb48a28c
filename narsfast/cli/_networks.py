"""Commands on single networks: scale one, train one with a recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from narsfast.common.options import RUN_OPTIONS, TRAINER_OPTIONS

from ._options import Json, takes
from ._progress import progress_bars
from ._tables import print_table


def scale(
    source: Annotated[
        str,
        typer.Argument(
            metavar="DIR",
            help="Folder of a found or scaled network, a definition's .json file, or a name of the zoo.",
        ),
    ],
    macs: Annotated[str, typer.Option(help="Multiply-adds: a factor (2x, 0.5x) or a number (100M).")],
    out: Annotated[Path | None, typer.Option(help="Folder to write. Default: DIR-MACS.")] = None,
    as_json: Json = False,
) -> None:
    """Scale a found network up or down: resolution, depth and width, after the published FBNetV3 networks.

    Writes definition.json, statistics.json and the recipe; `narsfast train-model` trains it.
    """
    from narsfast.pipeline import scale_network

    target = out or Path(f"{source.rstrip('/').removesuffix('.json')}-{macs}")
    found = scale_network(source, macs, target)
    if as_json:
        typer.echo(json.dumps(found | {"dir": str(target)}))
        return
    rows = [
        {"statistic": name, "before": found["before"][name], "after": value}
        for name, value in found["after"].items()
    ]
    print_table(f"Scaled to {found['ratio']:.3f} of its MACs: {target}", rows)


@takes("data", "layout", "orient", "bit_depth", "seed", "mirror", *TRAINER_OPTIONS)
def train_model(
    model: Annotated[
        str,
        typer.Option(
            metavar="REFERENCE",
            help="Network to train: torchvision:NAME, timm:NAME, FILE.py:FACTORY, a name of the zoo, or a definition's "
            ".json file or folder.",
        ),
    ],
    recipe: Annotated[
        Path, typer.Option(help="Its recipe: a YAML or JSON file, or the folder of a found network.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the trained network.")],
    resolution: Annotated[
        int | None, typer.Option(help="Side of the images, pixels. Default: a definition's own.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs to train.")] = RUN_OPTIONS[
        "final_epochs"
    ].default,
    as_json: Json = False,
    **options: Any,
) -> None:
    """Train one network with a recipe, and test it once."""
    from narsfast.pipeline import train_with_recipe

    settings = {name: options.pop(name) for name in TRAINER_OPTIONS if name in options}
    with progress_bars() as progress:
        found = train_with_recipe(
            model,
            recipe,
            out,
            resolution=resolution,
            epochs=epochs,
            settings=settings,
            progress=progress,
            **options,
        )
    if as_json:
        typer.echo(json.dumps(found))
        return
    row = {
        "model": found["model"],
        "MACs": found["statistics"]["macs"],
        "params": found["statistics"]["params"],
        "epochs": found["epochs"],
        "validation %": f"{found['validation']:.2f}",
        "test %": f"{found['test']:.2f}",
        "files": str(out),
    }
    print_table("Trained", [row])
