"""Messages to the person at the terminal; results go to standard output."""

from __future__ import annotations

import sys
from collections.abc import Callable

from supernet.printable import printable

Say = Callable[[str], None]


def say(message: str) -> None:
    """A message, on standard error; no name in it steers the terminal."""
    sys.stderr.write(printable(message) + "\n")
    sys.stderr.flush()
