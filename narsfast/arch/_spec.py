"""Network specs: a definition or a reference, and the side of the images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from narsfast.common.candidate import Candidate
from narsfast.errors import UserError
from narsfast.space import PARENT, RESOLUTION, Space

from ._child import Family
from ._definition import Definition
from ._model import create_model
from ._network import Network, resolve_definition
from ._rows import definition_of


@dataclass(frozen=True)
class NetworkSpec:
    """A network that can be built, without weights.

    Attributes:
        source: A definition, or a reference as for `create_model`.
        resolution: Side of the images, pixels.
    """

    source: Definition | str
    resolution: int

    @classmethod
    def of(cls, source: Definition | str, resolution: int | None = None) -> NetworkSpec:
        """Build a spec; without a resolution, that of the definition is used.

        Raises:
            UserError: The resolution is below 1, or missing for a network without a definition.
        """
        if resolution is None and isinstance(source, Definition):
            resolution = source.resolution
        elif resolution is None and isinstance(source, str) and ":" not in source:
            resolution = resolve_definition(source).resolution
        if resolution is None or resolution < 1:
            given = "missing" if resolution is None else resolution
            raise UserError(f"resolution is {given}; {source} needs one in pixels, such as 64")
        return cls(source, resolution)

    @property
    def name(self) -> str:
        """The reference, or the definition's name."""
        return self.source if isinstance(self.source, str) else self.source.name

    @property
    def reference(self) -> str | None:
        """The reference, or None for a definition."""
        return self.source if isinstance(self.source, str) else None

    def build(
        self,
        num_classes: int,
        in_chans: int = 3,
        *,
        dropout: float | None = None,
        drop_path: float | None = None,
        ops: str = "fused",
        padding: str = "published",
    ) -> nn.Module:
        """Build the network with fresh weights, as `create_model`; a narsfast network has this resolution.

        Raises:
            UserError: As for `create_model`.
        """
        network = create_model(
            self.source,
            num_classes,
            in_chans,
            dropout=dropout,
            drop_path=drop_path,
            ops=ops,
            padding=padding,
        )
        if isinstance(network, Network):
            network.definition = network.definition.model_copy(update={"resolution": self.resolution})
        return network

    def outline(self, num_classes: int, in_chans: int = 3) -> nn.Module:
        """Build the network in evaluation mode to look at its shapes alone: without memory and time for its weights.

        Code of the user's own, and what needs values, is built as usual.

        Raises:
            UserError: As for `create_model`.
        """
        with torch.random.fork_rng(devices=[]):
            if not self.name.rpartition(":")[0].endswith(".py"):
                try:
                    with torch.device("meta"):
                        return self.build(num_classes, in_chans).eval()
                except (NotImplementedError, RuntimeError):
                    pass
            return self.build(num_classes, in_chans).eval()

    def takes(self, in_chans: int = 3) -> bool:
        """Return whether the network takes images of its resolution, as one forward pass shows."""
        try:
            network = self.outline(2, in_chans)
            device = next((parameter.device for parameter in network.parameters()), None)
            with torch.no_grad():
                network(torch.zeros(1, in_chans, self.resolution, self.resolution, device=device))
        except UserError:
            raise
        except Exception:  # whatever a network raises on a size that it cannot take
            return False
        return True

    def to_json(self) -> str:
        """Return JSON text that `from_json` reads."""
        definition = None if isinstance(self.source, str) else json.loads(self.source.to_json())
        return json.dumps(
            {"reference": self.reference, "definition": definition, "resolution": self.resolution}
        )

    @classmethod
    def from_json(cls, text: str) -> NetworkSpec:
        """Parse what `to_json` wrote.

        Raises:
            UserError: The definition is wrong.
        """
        values = json.loads(text)
        if values["definition"] is None:
            return cls(values["reference"], values["resolution"])
        return cls(Definition.from_dict(values["definition"]), values["resolution"])


def specs_of(space: Space, candidates: Sequence[Candidate]) -> list[NetworkSpec]:
    """Return the networks of n candidates of a space of networks.

    Raises:
        UserError: The space has none, or a candidate is none of it.
    """
    if not space.parents:
        return [NetworkSpec.of(definition) for definition in definition_of(space, space.encode(candidates))]
    families: dict[str, Family] = {}
    specs = []
    for candidate in candidates:
        name, resolution = str(candidate.architecture[PARENT]), int(candidate.architecture[RESOLUTION])
        parent = next(parent for parent in space.parents if parent.name == name)
        if parent.definition is None:
            specs.append(NetworkSpec(parent.source or parent.reference, resolution))
            continue
        family = families.setdefault(name, Family(Definition.from_dict(parent.definition)))
        values = {field.removeprefix(f"{name}."): value for field, value in candidate.architecture.items()}
        specs.append(NetworkSpec.of(family.child(values)))
    return specs
