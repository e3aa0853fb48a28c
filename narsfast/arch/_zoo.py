"""The zoo: the published FBNetV3 architectures, and other mobile networks, as definitions."""

import difflib
import json
from functools import lru_cache
from importlib.resources import files

from narsfast.errors import UserError

from ._definition import Definition

_PREFIX = "FBNETV3_"


@lru_cache(maxsize=1)
def _load() -> dict[str, Definition]:
    found: dict[str, Definition] = {}
    for file in ("fbnetv3.json", "published.json"):
        models = json.loads((files("narsfast.arch") / file).read_text(encoding="utf-8"))["models"]
        found |= {name: Definition.from_dict({"name": name, **model}) for name, model in models.items()}
    return found


def zoo() -> dict[str, Definition]:
    """Return the published architectures by name: FBNetV3_A0, FBNetV3_A to FBNetV3_G, and those of other libraries.

    The rows of FBNetV3 come from the released mobile-vision definition file (named in fbnetv3.json). A is B at 224
    pixels; A0 is not in the paper. The others are the networks of torchvision and timm with these names, to the unit in
    multiply-adds and parameters, and in outputs.
    """
    return dict(_load())


def zoo_definition(name: str) -> Definition:
    """Return a published architecture; "FBNetV3_A", "fbnetv3_a", "A" and "a" are the same.

    Raises:
        UserError: There is no such name; the message lists the known ones.
    """
    known = {found.upper(): found for found in _load()}
    wanted = name.strip().upper()
    for key in (wanted, _PREFIX + wanted):
        if key in known:
            return _load()[known[key]]
    near = difflib.get_close_matches(_PREFIX + wanted.removeprefix(_PREFIX), known, n=1, cutoff=0.8)
    near = near or difflib.get_close_matches(wanted, known, n=1, cutoff=0.8)
    hint = f"; did you mean {known[near[0]]}?" if near else ""
    hint = hint or _other_reference(name)
    raise UserError(f"architecture {name!r} is unknown; the zoo has {', '.join(_load())}{hint}")


def _other_reference(name: str) -> str:
    """Guess what kind of reference a name was meant to be."""
    if name.endswith(".py"):
        return f"; a network of a file is {name}:FACTORY"
    from torchvision import models

    return f"; did you mean torchvision:{name}?" if name in models.list_models(module=models) else ""
