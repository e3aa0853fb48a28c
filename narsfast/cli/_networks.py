"""Commands on single networks: scale one, train one with a recipe."""

from __future__ import annotations

import json
from functools import partial
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
    out: Annotated[Path, typer.Option(help="Folder for the trained network.")],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="REFERENCE",
            help="Network to train: torchvision:NAME, timm:NAME, FILE.py:FACTORY, a name of the zoo, or a definition's "
            ".json file or folder.",
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="In the place of --model: folder of a found network, to train on other classes. It starts from its "
            "weights, with a new classifier.",
        ),
    ] = None,
    parent: Annotated[
        str | None,
        typer.Option(
            metavar="REF[=FILE]",
            help="Start from a pretrained network: train it itself, or with --model a definition that is a child of it. "
            "efficientnet_lite0, timm:NAME, torchvision:NAME, a found network's folder, or REFERENCE=FILE with a file "
            "of weights.",
        ),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            help="Its recipe: a YAML or JSON file, or the folder of a found network. Default with --from: its own; with "
            "--parent: one of fine-tuning.",
        ),
    ] = None,
    resolution: Annotated[
        int | None,
        typer.Option(help="Side of the images, pixels. Default: a definition's or the parent's own."),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=f"Epochs to train. Default: {RUN_OPTIONS['final_epochs'].default}, with --from and --parent by the "
            "number of training images.",
        ),
    ] = None,
    as_json: Json = False,
    **options: Any,
) -> None:
    """Train one network with a recipe, from scratch or from a pretrained or a found network, and test it once."""
    from narsfast.pipeline import fine_tune, train_with_recipe

    options["settings"] = {name: options.pop(name) for name in TRAINER_OPTIONS if name in options}
    options |= {"resolution": resolution, "epochs": epochs}
    for flag, other in (("--model", model), ("--parent", parent)):
        if folder is not None and other is not None:
            raise typer.BadParameter(f"it is given with {flag}; leave one of them out", param_hint="'--from'")
    if folder is not None:
        train = partial(fine_tune, folder, out, recipe)
    elif parent is not None:
        train = partial(train_with_recipe, model, recipe, out, parent=parent)
    elif model is None:
        raise typer.BadParameter(
            "it is missing; name a network, or give a pretrained one as --parent or the folder of a found one as --from",
            param_hint="'--model'",
        )
    elif recipe is None:
        raise typer.BadParameter(
            "it is missing; name a file, or the folder of a found network", param_hint="'--recipe'"
        )
    else:
        train = partial(train_with_recipe, model, recipe, out)
    with progress_bars() as progress:
        found = train(progress=progress, **options)
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
        "balanced %": f"{found['balanced_accuracy']:.2f}",
        "files": str(out),
    }
    print_table("Trained", [row])
