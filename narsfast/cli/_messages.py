"""Messages of the library, which name fields, as sentences of a command line, which names its flags."""

from __future__ import annotations

import re
from collections.abc import Mapping


def with_flags(sentence: str, flags: Mapping[str, str]) -> str:
    """Put flags in the place of fields: of each in backticks, and of the one that the sentence begins with.

    Args:
        sentence: As in ``pool_size is 8; ... fewer `workers```.
        flags: Of a command's options by their names.
    """
    sentence = re.sub(r"`(\w+)`", lambda found: flags.get(found[1], found[0]), sentence)
    subject = re.match(r"\w+(?=:| is | ')", sentence)
    if subject is None or subject[0] not in flags:
        return sentence
    return flags[subject[0]] + sentence[subject.end() :]
