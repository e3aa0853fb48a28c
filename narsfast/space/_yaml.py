"""The dialect of YAML in which spaces are written."""

from __future__ import annotations

import math
import re
from itertools import chain
from typing import Any

import yaml

from narsfast.errors import UserError

_MOST_VALUES = 100_000
"""Values of a file with its aliases written out; the largest space of this project has some hundreds."""


def read_yaml(text: str, source: str) -> Any:
    """Parse a YAML (or JSON) text.

    Args:
        text: The text.
        source: File name, for messages.

    Raises:
        UserError: The text is not YAML, is too large, or a mapping has a key twice.
    """
    try:
        return _Loader(text).get_single_data()
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" in line {where.line + 1}" if where else ""
        problem = getattr(error, "problem", None) or str(error)
        raise UserError(f"{source}: not readable as YAML{line}: {problem}") from None
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
    ) as error:  # of a value's constructor, as a 13th month
        raise UserError(f"{source}: not readable as YAML: a value has a wrong form ({error})") from None
    except RecursionError:
        raise UserError(
            f"{source}: not readable as YAML: too deeply nested; write it with fewer levels"
        ) from None


class _Loader(yaml.SafeLoader):
    """A safe loader that reads ``1e-5`` as a number and refuses duplicate keys, lists as keys and floods of aliases."""

    def construct_document(self, node: yaml.Node) -> Any:
        """Construct the document, unless its aliases stand for too many values."""
        if _values(node, {}) > _MOST_VALUES:
            raise yaml.constructor.ConstructorError(
                None,
                None,
                f"more than {_MOST_VALUES:,} values with its aliases; write fewer",
                node.start_mark,
            )
        return super().construct_document(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Construct a mapping, refusing duplicate keys and keys that are no plain values."""
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key is a list or a mapping; quote text with braces", key_node.start_mark
                )
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key_node.value!r} is given twice, keep one", key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def _values(node: yaml.Node, counted: dict[int, float]) -> float:
    """Count the values below a node with its aliases written out; infinite where an alias is inside its own anchor."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in counted:
        counted[id(node)] = math.inf  # while it is being counted
        parts = chain(*node.value) if isinstance(node, yaml.MappingNode) else node.value
        counted[id(node)] = 1 + sum(_values(part, counted) for part in parts)
    return counted[id(node)]


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)
