"""Loading of a trained network and its preprocessing from an emitted folder."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from narsfast.arch import WEIGHTS_FILE, create_model, load_weights, read_definition
from narsfast.common.emitted import check_hashes, read_manifest, read_preprocessing
from narsfast.errors import UserError

MODEL_FILE = "model.py"
"""Name of the copy of a factory's file in an emitted folder, if it imports no file beside it."""
CODE_FOLDER = "code"
"""Name of the folder with a factory's file and those that it imports, under their own names."""


def load(
    directory: str | Path, *, ops: str = "fused", run_code: bool = False, verify: bool = True
) -> nn.Module:
    """Load the trained network of an emitted folder.

    Args:
        directory: A folder written by `emit`.
        ops: Implementation of a narsfast network's operators, "fused" or "torch".
        run_code: Run the folder's Python code if the network comes from a factory in a file: only if you trust it.
        verify: Check that the files are those that were emitted, by the hashes in emission.json; without that file,
            nothing is checked.

    Returns:
        The network on the CPU, in eval mode, with the trained weights.

    Raises:
        UserError: A file is missing, broken or another one than was emitted, or the network needs code that may not run.
    """
    directory = Path(directory)
    preprocessing = read_preprocessing(directory)
    reference = _reference(directory)
    code = () if reference is None else _code_files(directory, reference)
    if verify:
        check_hashes(directory, ("preprocessing.json", "definition.json", WEIGHTS_FILE, *code))
    if code and not run_code:
        raise UserError(
            f"{directory} is built by Python code in {code[0]}, which loading would run; read it, and if you trust it, "
            "load with run_code=True"
        )
    classes, channels = len(preprocessing.classes), preprocessing.in_chans
    if reference is None:
        definition = read_definition(directory / "definition.json")
        network = create_model(definition, classes, channels, ops=ops, padding=preprocessing.padding)
    else:
        network = create_model(str(directory / reference) if code else reference, classes, channels, ops=ops)
    load_weights(network, directory / WEIGHTS_FILE)
    return network.eval()


def _reference(directory: Path) -> str | None:
    """Return the reference of a folder without a definition.

    Raises:
        UserError: It is not a reference that `emit` writes.
    """
    if (directory / "definition.json").exists() or not (directory / "emission.json").exists():
        return None
    reference = read_manifest(directory).get("model")
    if reference is None:
        return None
    if not isinstance(reference, str) or not reference.rpartition(":")[0]:
        raise UserError(f"{directory / 'emission.json'} is broken: model is {reference!r}; emit again")
    return reference


def _code_files(directory: Path, reference: str) -> tuple[str, ...]:
    """Return the Python files that a reference runs, by their names in the folder, its own first.

    Raises:
        UserError: The reference names a file elsewhere.
    """
    source = reference.rpartition(":")[0]
    if not source.endswith(".py"):
        return ()
    if source == MODEL_FILE:
        return (source,)
    if Path(source).parent.as_posix() != CODE_FOLDER:
        raise UserError(
            f"{directory / 'emission.json'} names the file {source!r}; only {MODEL_FILE} and files in {CODE_FOLDER} of "
            "the folder itself are run"
        )
    files = sorted(path.relative_to(directory).as_posix() for path in (directory / CODE_FOLDER).rglob("*.py"))
    return (source, *(name for name in files if name != source))
