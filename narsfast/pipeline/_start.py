"""The trained network that a single training starts from: an emitted one, for other classes, or a parent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from narsfast.arch import WEIGHTS_FILE, NetworkSpec, Parent, absolute_reference, load_parents
from narsfast.common.files import expanded
from narsfast.common.preparation import Preparation
from narsfast.data import Dataset
from narsfast.emit import Origin, check_hashes, read_json, read_preprocessing
from narsfast.errors import UserError
from narsfast.training import InheritedStart, StartingPoint

_PARENT_FILE = "parent.safetensors"  # of an unfinished training


class TrainedStart(Protocol):
    """What a training is told of the trained network that it starts from."""

    @property
    def preparation(self) -> Preparation | None:
        """How its images are normalized and resized; None is by the data."""
        ...

    @property
    def origin(self) -> Origin | None:
        """What is said of an emitted network in the folder of the one that starts from it."""
        ...

    @property
    def parent(self) -> Mapping[str, Any] | None:
        """What is said of the parent that it is, or comes from."""
        ...

    def point(self, folder: Path) -> StartingPoint:
        """Return its weights; `folder` is that of the training, which can hold them."""
        ...

    def check(self, spec: NetworkSpec, data: Dataset) -> None:
        """Refuse a network or images that it cannot be the start of.

        Raises:
            UserError: It cannot.
        """
        ...

    def facts(self) -> dict[str, Any]:
        """Return what training.json says of it, in JSON types."""
        ...


@dataclass(frozen=True)
class EmittedStart:
    """An emitted narsfast network.

    Attributes:
        folder: Where it lies.
        in_chans: Channels of its images.
        weights: Its weights.
        origin: What is said of it in the folder of the network that starts from it.
        preparation: That of the parent that it comes from; None: it comes from none.
        parent: What its folder says of that one.
    """

    folder: Path
    in_chans: int
    weights: StartingPoint
    origin: Origin
    preparation: Preparation | None = None
    parent: Mapping[str, Any] | None = None

    def point(self, folder: Path) -> StartingPoint:
        """Return the weights, which lie in its own folder."""
        return self.weights

    def check(self, spec: NetworkSpec, data: Dataset) -> None:
        """Refuse images of other channels.

        Raises:
            UserError: They have others.
        """
        if data.in_chans != self.in_chans:
            raise UserError(
                f"folder: the network in {self.folder} takes images of {self.in_chans} channel(s), and {data.name} has "
                f"{data.in_chans}; start from a network of as many channels, or convert the images"
            )

    def facts(self) -> dict[str, Any]:
        """Return what training.json says of it."""
        return {"from": {"folder": str(self.folder.resolve()), **asdict(self.origin)}} | (
            {} if self.parent is None else {"parent": dict(self.parent)}
        )


@dataclass(frozen=True, eq=False)
class ParentStart:
    """A parent, whose weights the network inherits.

    Attributes:
        loaded: The parent.
        origin: None, as it is in no emitted folder, or in one that counts as any other parent.
    """

    loaded: Parent
    origin: None = None

    @property
    def preparation(self) -> Preparation:
        """How its images are normalized and resized."""
        return self.loaded.preparation

    @property
    def parent(self) -> Mapping[str, Any]:
        """What is said of it."""
        return self.loaded.facts()

    def point(self, folder: Path) -> StartingPoint:
        """Return its weights after keeping them in the folder of the training, where every process reads them."""
        file = folder / _PARENT_FILE
        self.loaded.save(file)
        return InheritedStart(str(file))

    def spec(self, model: str | None, resolution: int | None) -> NetworkSpec:
        """Return the network to train: the parent itself, or the child that `model` names.

        Raises:
            UserError: There is no such network, or the parent has no children and `model` is another one.
        """
        if model is None:
            return self.loaded.spec(resolution)
        model = absolute_reference(model)
        if self.loaded.definition is None and model != self.loaded.source:
            raise UserError(
                f"model is {model}, and the parent {self.loaded.name} takes part whole; leave `model` out, or name a "
                "parent that has a definition"
            )
        if self.loaded.definition is not None and ":" in model:
            raise UserError(
                f"model is {model}, which is no definition and so no child of the parent {self.loaded.name}; give a "
                "definition, or leave `model` out"
            )
        return NetworkSpec.of(model, resolution)

    def check(self, spec: NetworkSpec, data: Dataset) -> None:
        """Refuse a network that is no child of the parent, and images of other channels than it takes.

        Raises:
            UserError: It is none, or they have others.
        """
        self.loaded.for_channels(data.in_chans)
        self.loaded.give(spec.build(len(data.classes), data.in_chans))

    def facts(self) -> dict[str, Any]:
        """Return what training.json says of it."""
        return {"parent": dict(self.parent)}


def parent_start(parent: Parent | str) -> ParentStart:
    """Return the start from a parent, or from the one that ``REFERENCE[=FILE]`` names.

    Raises:
        UserError: There is none, or its weights cannot be had.
    """
    if isinstance(parent, Parent):
        return ParentStart(parent)
    (loaded,) = load_parents([parent])
    return ParentStart(loaded)


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
            "defined, so that its classifier is not known; give the folder as `parent`, or train it anew, with `model` "
            "and `recipe`"
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
    origin = Origin(name, candidate, data, facts.classes, point.digest())
    if (parent := manifest.get("parent")) is None:
        return EmittedStart(path, facts.in_chans, point, origin)
    prepared = Preparation(facts.mean, facts.std, facts.interpolation, facts.crop)
    return EmittedStart(path, facts.in_chans, point, origin, prepared, parent)
