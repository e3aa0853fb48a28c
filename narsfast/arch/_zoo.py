"""The zoo: the published FBNetV3 architectures, as definitions."""

import difflib
import json
from functools import lru_cache
from importlib.resources import files

from narsfast.errors import UserError

from ._definition import Definition

_PREFIX = "FBNetV3_"


@lru_cache(maxsize=1)
def _load() -> dict[str, Definition]:
    text = (files("narsfast.arch") / "fbnetv3.json").read_text(encoding="utf-8")
    models = json.loads(text)["models"]
    return {name: Definition.from_dict({"name": name, **model}) for name, model in models.items()}


def zoo() -> dict[str, Definition]:
    """Return the published architectures by name: FBNetV3_A0, FBNetV3_A to FBNetV3_G.

    The rows come from the released mobile-vision definition file (named in fbnetv3.json). A is B at 224 pixels; A0 is
    not in the paper.
    """
    return dict(_load())


def zoo_definition(name: str) -> Definition:
    """Return a published architecture; "FBNetV3_A", "fbnetv3_a", "A" and "a" are the same.

    Raises:
        UserError: There is no such name; the message lists the known ones.
    """
    known = _load()
    short = name.strip().upper().removeprefix(_PREFIX.upper())
    if _PREFIX + short not in known:
        near = difflib.get_close_matches(_PREFIX + short, known, n=1, cutoff=0.8)
        hint = f"; did you mean {near[0]}?" if near else ""
        hint = hint or _other_reference(name)
        raise UserError(f"architecture {name!r} is unknown; the zoo has {', '.join(known)}{hint}")
    return known[_PREFIX + short]


def _other_reference(name: str) -> str:
    """Guess what kind of reference a name was meant to be."""
    if name.endswith(".py"):
        return f"; a network of a file is {name}:FACTORY"
    from torchvision import models

    return f"; did you mean torchvision:{name}?" if name in models.list_models(module=models) else ""
