"""Messages to the person at the terminal; results go to standard output."""

from __future__ import annotations

import sys
from collections.abc import Callable

Say = Callable[[str], None]


def say(message: str) -> None:
    """A message, on standard error."""
    sys.stderr.write(message + "\n")
    sys.stderr.flush()
