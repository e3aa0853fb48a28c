"""JSON of files that a user may have edited, damaged or been given."""

from __future__ import annotations

import json
from typing import Any

from narsfast.errors import UserError


def parse_json(text: str, source: str, remedy: str = "") -> Any:
    """Parse a JSON text.

    Args:
        text: The text.
        source: What it is of, at the start of messages.
        remedy: What the user should do, at their end.

    Raises:
        UserError: The text is not JSON, is nested too deeply, or a number has too many digits.
    """
    try:
        return json.loads(text)
    except ValueError as error:  # also a number of more digits than Python reads
        problem = str(error)
    except RecursionError:
        problem = "it is nested too deeply"
    raise UserError(f"{source} is not valid JSON ({problem}){'; ' if remedy else ''}{remedy}")
