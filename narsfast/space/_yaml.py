"""The dialect of YAML in which spaces are written."""

from __future__ import annotations

import re
from typing import Any

import yaml

from narsfast.errors import UserError


def read_yaml(text: str, source: str) -> Any:
    """Parse a YAML (or JSON) text.

    Args:
        text: The text.
        source: File name, for messages.

    Raises:
        UserError: The text is not YAML, or a mapping has a key twice.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" in line {where.line + 1}" if where else ""
        problem = getattr(error, "problem", None) or str(error)
        raise UserError(f"{source}: not readable as YAML{line}: {problem}") from None


class _Loader(yaml.SafeLoader):
    """A safe loader that reads ``1e-5`` as a number and refuses duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Construct a mapping, refusing duplicate keys."""
        seen = set()
        for key_node, _ in node.value:
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key_node.value!r} is given twice, keep one", key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)
