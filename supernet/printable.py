"""Names of somebody else's as they may be shown: a character that would steer a terminal stands as its escape."""

from __future__ import annotations

import re
from collections.abc import Iterable

from supernet.errors import InputError, few

STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but for tab and newline, what turns the direction of text, and halves of a surrogate pair."""
NO_NAME = re.compile(rf"[\t\n\u2028\u2029]|{STEERING.pattern}")
"""What no name has: these, and what ends a line."""


def printable(text: str) -> str:
    """The text, in which ``ESC`` stands as ``\\x1b``; what has no such character is as it was."""
    return STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def check_names(names: Iterable[str], what: str) -> None:
    """Raises InputError, which begins with ``what``, for names that would end a line or steer a terminal."""
    if odd := [name for name in names if NO_NAME.search(name)]:
        raise InputError(
            f"{what} with characters that no text may hold: {few([ascii(name) for name in odd])}; name them otherwise"
        )
