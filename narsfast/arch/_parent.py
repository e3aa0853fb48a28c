"""Parents: pretrained networks whose weights candidates inherit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from narsfast.common.files import replacing
from narsfast.common.preparation import Preparation
from narsfast.errors import UserError

from ._blocks import draw_classifier
from ._channels import IMAGE, channels_of
from ._definition import Definition
from ._inherit import Inheritance
from ._model import create_model
from ._moments import Moments, measure_moments
from ._network import Network
from ._spec import NetworkSpec
from ._stem import Stem, check_channels, gray_weights

Images = Callable[[], Sequence[Tensor]]
"""A function that returns batches of images (n, channels, side, side), called only where they are of use."""

_KEY = "narsfast.parent"  # of the metadata of a stored parent
_REMEMBERED = 8
"""Sets of images, as of several resolutions, whose moments are kept in memory."""


@dataclass(frozen=True, eq=False)
class Parent:
    """A pretrained network.

    Attributes:
        name: Short; letters, digits and underscores.
        reference: As the user named it, without the file of weights.
        definition: Its architecture, as narsfast builds it with padding "published"; None: it is no definition, and
            takes part whole.
        source: From which `narsfast.arch.create_model` builds a network that is no definition; None for one that is.
        weights: Tensors by the names of the network's `state_dict`, float32 on the CPU, of all layers.
        classifier: Names of those tensors whose shapes depend on the number of classes.
        stem: Its first layer; None where that is no convolution.
        resolution: Side of the images that it was trained or is usually tested on, pixels.
        preparation: How it was given its images.
        in_chans: Channels of its images.
        num_classes: Classes that it knows.
        classes: Their names in the order of its outputs; empty where they are not known.
        provenance: Where the bytes came from.
        license: Of the weights, as stated there; None where it is not stated.
        sha256: Of the file of weights.
    """

    name: str
    reference: str
    definition: Definition | None
    source: str | None
    weights: Mapping[str, Tensor]
    classifier: tuple[str, ...]
    stem: Stem | None
    resolution: int
    preparation: Preparation
    in_chans: int
    num_classes: int
    provenance: str
    sha256: str
    license: str | None = None
    classes: tuple[str, ...] = ()
    _moments: dict[str, Moments] = field(default_factory=dict, repr=False)

    def for_channels(self, in_chans: int) -> Parent:
        """Return the parent for images of so many channels: itself, or for gray ones the same with a summed stem.

        Raises:
            UserError: It cannot take such images.
        """
        if in_chans == self.in_chans:
            return self
        check_channels(self.name, self.in_chans, in_chans)
        if self.stem is None:
            raise UserError(
                f"parent {self.name} begins with no convolution, so that it cannot take images of {in_chans} channel(s);"
                f" give it images of {self.in_chans}"
            )
        return replace(
            self,
            weights=gray_weights(self.weights, self.stem, self.preparation),
            preparation=self.preparation.for_channels(in_chans),
            in_chans=in_chans,
        )

    def spec(self, resolution: int | None = None) -> NetworkSpec:
        """Return the network as it is, for images of its own resolution or another one, pixels.

        Raises:
            UserError: The resolution is below 1.
        """
        source = self.definition if self.source is None else self.source
        assert source is not None
        return NetworkSpec.of(source, self.resolution if resolution is None else resolution)

    def network(
        self,
        num_classes: int | None = None,
        in_chans: int | None = None,
        *,
        dropout: float | None = None,
        drop_path: float | None = None,
        ops: str = "fused",
    ) -> nn.Module:
        """Build the network with its weights, on the CPU in training mode.

        Args:
            num_classes: Outputs of a new classifier, drawn from torch's global generator as those of definitions are;
                None keeps the parent's own.
            in_chans: Channels of the images; None is the parent's own.
            dropout: As for `create_model`, as are the following ones.
            drop_path: As there.
            ops: As there.

        Raises:
            UserError: As for `create_model`; or it cannot take images of these channels.
        """
        own = self if in_chans is None else self.for_channels(in_chans)
        network = create_model(
            self.definition if self.source is None else self.source,  # type: ignore[arg-type]
            self.num_classes if num_classes is None else num_classes,
            own.in_chans,
            dropout,
            drop_path,
            ops=ops,
        )
        state = network.state_dict()
        fresh = () if num_classes is None else self.classifier
        network.load_state_dict(
            {name: tensor for name, tensor in own.weights.items() if name not in fresh}
            | {name: state[name] for name in fresh}
        )
        self._draw_classifier(network, fresh)
        return network

    def tuned(self, weights: Mapping[str, Tensor]) -> Parent:
        """Return the parent with the weights that a training of it ended with, for the classes of its data.

        Args:
            weights: Of all its layers, for images of as many channels or gray ones.
        """
        stem = None if self.stem is None else weights[self.stem.weight]
        own = self if stem is None else self.for_channels(stem.shape[1])
        classes = len(weights[self.classifier[-1]])
        return replace(own, weights=weights, num_classes=classes, classes=(), _moments={})

    def give(
        self, network: nn.Module, images: Images | None = None, *, fresh_classifier: bool = True
    ) -> None:
        """Give a network the weights that it inherits.

        Args:
            network: A child of the parent, or the parent's own network, just built, for images of as many channels or
                gray ones. A classifier that another library drew is drawn again, from torch's global generator.
            images: Batches that it is going to be trained on, which a child with fewer channels is fitted to; None goes
                by the weights alone.
            fresh_classifier: Whether its classifier stays as it was drawn; otherwise that is inherited too, which is for
                as many classes.

        Raises:
            UserError: It is no child of this parent, or its images have other channels.
        """
        if self.definition is not None and not isinstance(network, Network):
            raise UserError(
                f"{type(network).__name__} is no child of parent {self.name}; give the network by its definition"
            )
        own = network.state_dict()
        name = "stem.0.weight" if self.stem is None else self.stem.weight
        chans = self.in_chans if name not in own else own[name].shape[1]
        parent = self.for_channels(chans)
        weights = parent.weights
        if self.definition is not None:
            inheritance = Inheritance(self.definition, network.definition)  # type: ignore[arg-type]
            moments = parent.measured(images()) if images is not None and inheritance.shrinks else None
            weights = inheritance(weights, moments=moments)
        fresh = self.classifier if fresh_classifier else ()
        kept = {name: own[name] for name in fresh if name in own}
        try:
            network.load_state_dict({**weights, **kept})
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"the network is not that of parent {self.name}: {reason}") from None
        self._draw_classifier(network, fresh)

    def measured(self, images: Sequence[Tensor]) -> Moments:
        """Measure what the layers of the parent's definition read on images; the same ones are measured once.

        Args:
            images: Batches (n, in_chans, side, side), at least one.
        """
        hashed = hashlib.sha256()
        for batch in images:
            hashed.update(batch.contiguous().numpy().data)
        key = hashed.hexdigest()
        if key not in self._moments:
            assert self.definition is not None
            layers = [
                layer.name for layer in channels_of(self.definition).layers if layer.into not in (None, IMAGE)
            ]
            while len(self._moments) >= _REMEMBERED:
                del self._moments[next(iter(self._moments))]
            with torch.random.fork_rng(
                devices=[]
            ):  # what is drawn later must not depend on what is remembered
                network = self.network()
            self._moments[key] = Moments(measure_moments(network, layers, images))
        return self._moments[key]

    def _draw_classifier(self, network: nn.Module, fresh: Collection[str]) -> None:
        """Draw a new classifier as `initialize` does; definitions have it so already.

        Libraries draw theirs for long trainings: timm's uniform weights of width ``1 / sqrt(features)`` give logits that
        a short fine-tuning has to unlearn first.
        """
        if self.definition is not None:
            return
        for name, module in network.named_modules():
            if isinstance(module, nn.Linear | nn.Conv2d) and f"{name}.weight" in fresh:
                draw_classifier(module)

    def facts(self) -> dict[str, Any]:
        """Return what is told of it on cards and in runs, in JSON types."""
        return {
            "name": self.name,
            "reference": self.reference,
            "resolution": self.resolution,
            "in_chans": self.in_chans,
            "num_classes": self.num_classes,
            "provenance": self.provenance,
            "license": self.license,
            "sha256": self.sha256,
        }

    def save(self, file: str | Path) -> None:
        """Write it to one safetensors file, from which `read_parent` makes the same; a reader finds all or nothing."""
        described = {
            **self.facts(),
            "definition": None if self.definition is None else self.definition.to_dict(),
            "source": self.source,
            "classifier": self.classifier,
            "stem": None if self.stem is None else asdict(self.stem),
            "preparation": asdict(self.preparation),
            "classes": self.classes,
        }
        file = Path(file)
        file.parent.mkdir(parents=True, exist_ok=True)
        tensors = {name: tensor.contiguous() for name, tensor in self.weights.items()}
        with replacing(file) as temporary:
            save_file(tensors, temporary, {_KEY: json.dumps(described)})


def stored_sha256(file: str | Path) -> str | None:
    """Return the `Parent.sha256` of what `Parent.save` wrote; None where there is no such file, or a damaged one."""
    try:
        with safe_open(file, framework="pt") as opened:
            digest = json.loads((opened.metadata() or {})[_KEY])["sha256"]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None
    return str(digest)


def read_parent(file: str | Path) -> Parent:
    """Read what `Parent.save` wrote.

    Raises:
        UserError: It cannot be read, or it is no such file.
    """
    try:
        with safe_open(file, framework="pt") as opened:
            described = json.loads((opened.metadata() or {})[_KEY])
            weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118, of safetensors
        definition, stem, prepared = (described.pop(name) for name in ("definition", "stem", "preparation"))
        fields: dict[str, Any] = {name: tuple(described.pop(name)) for name in ("classifier", "classes")}
        fields["definition"] = None if definition is None else Definition.from_dict(definition)
        fields["stem"] = None if stem is None else Stem(**stem)
        fields["preparation"] = Preparation(
            tuple(prepared["mean"]), tuple(prepared["std"]), prepared["interpolation"], prepared["crop"]
        )
        return Parent(weights=weights, **fields, **described)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:100]
        raise UserError(f"{str(file)!r} is not a stored parent ({reason}); store it again") from None
