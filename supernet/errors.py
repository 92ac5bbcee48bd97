"""The one kind of error that is the user's to mend, and what an unknown name is told."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something given from outside is wrong; the message says what, what is allowed and what to do.

    The command line prints the message and exits with 2; anything else is a bug and a traceback.
    """


def unknown(what: str, given: object, known: Iterable[str]) -> InputError:
    """An error that lists the known names and the closest one: ``raise unknown("cost", "mac", COSTS)``."""
    names = sorted(known)
    close = difflib.get_close_matches(str(given), names, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return InputError(f"unknown {what} {given!r}.{hint} Known: {', '.join(names) or 'none'}")
