"""The one kind of error that is the user's to mend, and what an unknown name is told."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

WHOLE = 30
"""A list of so many names is shown whole."""
FIRST = 10
"""Of a longer one, as ImageNet's classes, so many are shown."""
CLOSEST = 3
"""Names that a message suggests where it does not show all of them."""


class InputError(ValueError):
    """Something given from outside is wrong; the message says what, what is allowed and what to do.

    The command line prints the message and exits with 2; anything else is a bug and a traceback.
    """


def unknown(what: str, given: object, known: Iterable[str]) -> InputError:
    """An error that lists the known names and the closest: ``raise unknown("cost", "mac", COSTS)``.

    Of many known names it shows the first, how many there are, and more than one that is close.
    """
    names = sorted(known)
    wanted = 1 if len(names) <= WHOLE else CLOSEST
    close = [repr(name) for name in difflib.get_close_matches(str(given), names, wanted, cutoff=0.5)]
    hint = f" Did you mean {', '.join(close[:-1])}{' or ' if close[1:] else ''}{close[-1]}?" if close else ""
    return InputError(f"unknown {what} {given!r}.{hint} Known: {some(names) or 'none'}")


def some(names: Iterable[object]) -> str:
    """Names of a list as text: all of a short one; of a long one the first, and how many there are."""
    given = [str(name) for name in names]
    if len(given) <= WHOLE:
        return ", ".join(given)
    return f"{', '.join(given[:FIRST])}, ... ({len(given):,} in all)"
