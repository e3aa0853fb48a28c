"""Network specs: a definition or a reference, and the side of the images."""

from __future__ import annotations

import json
from dataclasses import dataclass

from torch import nn

from narsfast.errors import UserError

from ._definition import Definition
from ._model import create_model
from ._network import Network, resolve_definition


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
