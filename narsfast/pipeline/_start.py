"""The emitted network that a training on other classes starts from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from narsfast.arch import WEIGHTS_FILE
from narsfast.common.files import expanded
from narsfast.data import Dataset
from narsfast.emit import Origin, check_hashes, read_json, read_preprocessing
from narsfast.errors import UserError
from narsfast.training import StartingPoint


@dataclass(frozen=True)
class EmittedStart:
    """An emitted narsfast network.

    Attributes:
        folder: Where it lies.
        in_chans: Channels of its images.
        point: Its weights.
        origin: What is said of it in the folder of the network that starts from it.
    """

    folder: Path
    in_chans: int
    point: StartingPoint
    origin: Origin

    def check(self, data: Dataset) -> None:
        """Refuse images of other channels.

        Raises:
            UserError: They have others.
        """
        if data.in_chans != self.in_chans:
            raise UserError(
                f"folder: the network in {self.folder} takes images of {self.in_chans} channel(s), and {data.name} has "
                f"{data.in_chans}; start from a network of as many channels, or convert the images"
            )


def read_start(folder: str | Path) -> EmittedStart:
    """Read what a training needs of an emitted folder to start from its network.

    Raises:
        UserError: It is no such folder, its network is not a narsfast network, or a file is not the one that was
            emitted.
    """
    path = expanded(folder)
    facts = read_preprocessing(path)
    manifest = read_json(path, "emission.json")
    if not (path / "definition.json").is_file():
        given = manifest.get("model") if isinstance(manifest, dict) else None
        raise UserError(
            f"folder: the network in {path} is {given or 'without a definition.json'}, not one that narsfast found or "
            "defined, so that its classifier is not known; train it anew, with `model` and `recipe`"
        )
    try:
        name, candidate, data = path.resolve().name, str(manifest["candidate"]), str(manifest["data"]["name"])
    except (KeyError, TypeError):
        raise UserError(
            f"folder: {path / 'emission.json'} does not say what the network was trained on; emit it again"
        ) from None
    files = ("definition.json", "preprocessing.json", WEIGHTS_FILE)
    check_hashes(path, files, intended="take sha256 out of emission.json")
    point = StartingPoint(str((path / WEIGHTS_FILE).resolve()), facts.padding)
    return EmittedStart(
        path, facts.in_chans, point, Origin(name, candidate, data, facts.classes, point.digest())
    )
