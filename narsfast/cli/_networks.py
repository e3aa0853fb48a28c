"""The commands on single networks, `narsfast scale` and `narsfast train --model`: parse and print, nothing else."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from narsfast.errors import UserError

from ._console import print_table, progress_bars
from ._options import TRAINER_OPTIONS, Json, Workers, collected_options


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

    Writes definition.json, statistics.json and the recipe; `narsfast train --model` trains it.
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


def with_recipe(run_stage: Callable[[Path, int | None, bool], None]) -> Callable[..., None]:
    """The command `train`: stage 4 of a run, or with --model and --recipe one training of any network.

    Args:
        run_stage: trains what a run found; given the run, the workers and whether to print JSON.
    """

    def train(
        run: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="A run directory: stage 4.")] = None,
        workers: Workers = None,
        model: Annotated[
            str | None,
            typer.Option(
                help="Train this network instead: torchvision:NAME, timm:NAME, FILE.py:FACTORY, a name of the zoo, or a "
                "definition's .json file or folder."
            ),
        ] = None,
        recipe: Annotated[
            Path | None,
            typer.Option(help="Its recipe, a YAML or JSON file, or the folder of a found network."),
        ] = None,
        out: Annotated[Path | None, typer.Option(help="Folder for the trained network.")] = None,
        resolution: Annotated[
            int | None, typer.Option(help="Side of the images, pixels. Default: a definition's own.")
        ] = None,
        as_json: Json = False,
        **options: Any,
    ) -> None:
        """Stage 4: train the best candidate of every budget fully.

        With --model, --recipe and --out instead of RUN: train that network with that recipe, and test it once.
        """
        given = {name: value for name, value in options.items() if value is not None}
        single = given | {
            name: value
            for name, value in (
                ("model", model),
                ("recipe", recipe),
                ("out", out),
                ("resolution", resolution),
            )
            if value is not None
        }
        if run is not None:
            if single:
                raise UserError(
                    f"--{next(iter(single)).replace('_', '-')} is for a training of one network, and {run} is a run; "
                    "leave one of them out"
                )
            run_stage(run, workers, as_json)
            return
        for name, value in (("model", model), ("recipe", recipe), ("out", out)):
            if value is None:
                raise UserError(f"--{name} is missing; give a run, or --model, --recipe and --out")
        if workers is not None:
            raise UserError(
                "--workers goes with a run; one training is one process, with --threads-per-trial"
            )
        settings = {name: given.pop(name) for name in TRAINER_OPTIONS if name in given}
        _train_single(single, given, settings, as_json)

    shared = collected_options("data", "epochs", "seed", "mirror", *TRAINER_OPTIONS)
    shared["epochs"] = inspect.Parameter(
        "epochs",
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[
            int | None, typer.Option(min=1, help="Epochs of --model's training. Default 30.")
        ],
    )
    own = inspect.signature(train, eval_str=True).parameters
    parameters = [p for p in own.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in [*parameters, *shared.values()]]
    train.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    train.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return train


def _train_single(
    single: Mapping[str, Any], given: Mapping[str, Any], settings: Mapping[str, Any], as_json: bool
) -> None:
    from narsfast.pipeline import train_with_recipe

    with progress_bars() as progress:
        found = train_with_recipe(
            single["model"],
            single["recipe"],
            single["out"],
            resolution=single.get("resolution"),
            settings=settings,
            progress=progress,
            **given,
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
        "files": str(single["out"]),
    }
    print_table("Trained", [row])
