"""Writing of one found network as a folder that can be used without its run."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import narsfast
from narsfast.arch import WEIGHTS_FILE, Network, NetworkSpec, Padding, reference_file, save_weights
from narsfast.common.emitted import Preprocessing
from narsfast.common.files import replacing_directory
from narsfast.common.modules import siblings
from narsfast.cost import STATISTICS
from narsfast.space import Recipe

from ._card import model_card
from ._class_card import class_json
from ._contact_sheet import SHEET_FILE, contact_sheet
from ._facts import DataFacts, Measurements
from ._load import CODE_FOLDER, MODEL_FILE
from ._notation import block_notation
from ._onnx import OnnxCheck, export_and_check
from ._timm import model_name, timm_arguments, timm_model
from ._transform import PREPROCESS_FILE, reader_source


@dataclass(frozen=True)
class Emission:
    """The files that `emit` wrote.

    Attributes:
        directory: The folder.
        files: Names of the files in it, sorted.
        onnx: The comparison of the ONNX file with torch, or why there is none.
    """

    directory: Path
    files: tuple[str, ...]
    onnx: OnnxCheck


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _manifest(
    folder: Path,
    architecture: dict[str, Any],
    data: DataFacts,
    found: Measurements,
    onnx: OnnxCheck,
) -> str:
    checksums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in _files(folder)}
    measured = asdict(replace(found, by_class=None))
    del measured["by_class"]
    for name in ("origin", "parent", "kept"):
        if measured[name] is None:
            del measured[name]
    if not found.passed_over:
        del measured["passed_over"]
    return _json(
        {
            "format": 1,
            **measured,
            **class_json(found.by_class),
            "statistics": {
                name: int(value) if name in STATISTICS else value for name, value in found.statistics.items()
            },
            **architecture,
            "data": data.to_dict(),
            "onnx": onnx.to_dict(),
            "versions": {
                "narsfast": narsfast.__version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
            "sha256": checksums,
        }
    )


def emit(
    directory: str | Path,
    network: nn.Module,
    recipe: Recipe,
    data: DataFacts,
    found: Measurements,
    *,
    test_batches: Iterable[tuple[Tensor, Tensor]] | None = None,
    padding: Padding = "published",
    given: NetworkSpec | None = None,
    extra_files: Mapping[str, str] | None = None,
) -> Emission:
    """Write one found network to a folder, atomically.

    The folder holds definition.json, recipe.json, weights.safetensors, model.onnx (with the ``[onnx]``
    extra), preprocessing.json, preprocess.py (the reader of images), timm_args.yaml, timm_model.py, README.md (the
    model card) and emission.json (all measurements, versions and the SHA-256 of every other file), and confused.jpg
    where images of the test split were confused. An existing folder of that name is replaced. A network that is not a
    narsfast network has no definition and no arguments for timm: emission.json has its reference, and the file of its
    factory is copied to model.py, or with the files beside it that it imports into the folder code.

    Args:
        directory: The folder to write.
        network: The trained network, a narsfast network with a `definition` or that of `given`; it is not changed.
        recipe: The recipe with which it was trained.
        data: The facts about the data that are needed to use the network.
        found: Budget, statistics and accuracies.
        test_batches: Pairs (images (b, C, H, W) float32 normalized, labels (b,)) on which the ONNX file is
            compared with torch; None leaves it unchecked.
        padding: The padding mode with which the network was built.
        given: The network, if its architecture was not searched.
        extra_files: Texts of additional files by name.

    Returns:
        The folder, its files and the outcome of the ONNX check.
    """
    target = Path(directory)
    definition = network.definition if isinstance(network, Network) else None
    described = definition or given
    if described is None:
        raise ValueError(f"a {type(network).__name__} has no definition; emit needs its reference as `given`")
    resolution = described.resolution
    preprocessing = Preprocessing(
        classes=data.classes,
        in_chans=data.in_chans,
        resolution=resolution,
        crop=data.crop,
        resize=data.resize(resolution),
        mean=data.mean,
        std=data.std,
        padding=padding,
        interpolation=data.interpolation,
        **asdict(data.reading),
    )
    with replacing_directory(target) as folder:

        def write(name: str, text: str) -> None:
            (folder / name).write_text(text, encoding="utf-8")

        write("recipe.json", recipe.model_dump_json(indent=2) + "\n")
        write("preprocessing.json", preprocessing.model_dump_json(indent=2) + "\n")
        write(PREPROCESS_FILE, reader_source())
        save_weights(network, folder / WEIGHTS_FILE)
        metadata = {
            "classes": json.dumps(data.classes, ensure_ascii=False),
            "preprocessing": preprocessing.model_dump_json(),
        }
        onnx = export_and_check(
            network, folder / "model.onnx", resolution, data.in_chans, test_batches, metadata
        )
        architecture: dict[str, Any]
        if definition is not None:
            registered = model_name(f"{data.name.rstrip('/').rsplit('/', 1)[-1]}_{found.candidate[:8]}")
            arguments = timm_arguments(
                definition, recipe, data, name=registered, epochs=found.epochs, seed=found.seed
            )
            write("definition.json", definition.to_json())
            write("timm_args.yaml", arguments)
            write("timm_model.py", timm_model(registered))
            architecture = {"blocks": block_notation(definition)}
        else:
            assert given is not None
            architecture = {"model": _local_reference(given.name, folder)}
        sheet = None if found.by_class is None else contact_sheet(found.by_class.confusions)
        if sheet is not None:
            (folder / SHEET_FILE).write_bytes(sheet)
        card = model_card(
            target.name,
            definition,
            recipe,
            data=data,
            found=found,
            onnx=onnx,
            given=given,
            sheet=sheet is not None,
        )
        write("README.md", card)
        for name, text in (extra_files or {}).items():
            write(name, text)
        write("emission.json", _manifest(folder, architecture, data, found, onnx))
        files = _files(folder)
    return Emission(target, files, onnx)


def _files(folder: Path) -> tuple[str, ...]:
    """Return the files of a folder and below it, by their names in it; sorted."""
    return tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))


def _local_reference(reference: str, folder: Path) -> str:
    """Return the reference relative to the folder, after copying the file of a factory and what it imports into it."""
    file = reference_file(reference)
    if file is None:
        return reference
    name = reference.rpartition(":")[2]
    if not (imported := siblings(file)):
        shutil.copyfile(file, folder / MODEL_FILE)
        return f"{MODEL_FILE}:{name}"
    for path in (file, *imported):
        copy = folder / CODE_FOLDER / path.relative_to(file.parent)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    return f"{CODE_FOLDER}/{file.name}:{name}"
