"""The one kind of error that is the user's to mend, what an unknown name is told, and what the system refuses."""

from __future__ import annotations

import difflib
import errno
import os
import re
from collections.abc import Iterable, Sequence

WHOLE = 30
"""A list of so many names is shown whole."""
FIRST = 10
"""Of a longer one, as ImageNet's classes, so many are shown."""
AT_LENGTH = 5
"""Of what is said at length, so many are shown."""
CLOSEST = 3
"""Names that a message suggests where it does not show all of them."""
LONGEST_WORD = 400
"""Characters; paths of up to so many are shown whole."""


class InputError(ValueError):
    """Something given from outside is wrong; the message says what, what is allowed and what to do.

    The command line prints the message and exits with 2; anything else is a bug and a traceback.
    """


def unknown(what: str, given: object, known: Iterable[str]) -> InputError:
    """An error that lists the known names and the closest: ``raise unknown("cost", "mac", COSTS)``.

    Of many known names it shows the first, how many there are, and more than one that is close.
    """
    names = sorted(set(known))
    wanted = 1 if len(names) <= WHOLE else CLOSEST
    close = [repr(name) for name in difflib.get_close_matches(str(given), names, wanted, cutoff=0.5)]
    hint = f" Did you mean {', '.join(close[:-1])}{' or ' if close[1:] else ''}{close[-1]}?" if close else ""
    return InputError(f"unknown {what} {short(given)}.{hint} Known: {some(names) or 'none'}")


def some(names: Iterable[object]) -> str:
    """Names of a list as text: all of a short one; of a long one the first, and how many there are."""
    given = [str(name) for name in names]
    if len(given) <= WHOLE:
        return ", ".join(given)
    return f"{', '.join(given[:FIRST])}, ... ({len(given):,} in all)"


def few(shown: Sequence[str]) -> str:
    """What a message is about, as files with a reason each: the first, and how many more there are."""
    more = f" and {len(shown) - AT_LENGTH:,} more" if len(shown) > AT_LENGTH else ""
    return ", ".join(shown[:AT_LENGTH]) + more


def short(text: object) -> str:
    """A value for a message: whole, or its beginning and how much follows."""
    shown = repr(text)
    return shown if len(shown) <= 200 else f"{shown[:120]}... ({len(shown) - 2:,} characters)"


def paragraph(message: str) -> str:
    """A message in one line; of words that are longer than a path may sensibly be, the beginning."""
    lines = re.sub(r"\s*\n\s*", " ", message.strip())
    return re.sub(
        rf"\S{{{LONGEST_WORD},}}", lambda found: f"{found[0][:120]}... ({len(found[0]):,} characters)", lines
    )


def refused_by_system(error: OSError | RuntimeError) -> str | None:
    """What the file system refused, where nobody said it better; None for a bug.

    A name that is too long, a loop of symbolic links, no permission, a full disk. Python up to 3.12 tells of a loop by
    a RuntimeError that stands in the context of the system's own.
    """
    cause = error if isinstance(error, OSError) else error.__context__
    if not isinstance(cause, OSError) or cause.errno is None:
        return None
    if isinstance(error, RuntimeError) and cause.errno != errno.ELOOP:
        return None
    if cause.filename is None and cause.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    what = (
        f"cannot use {short(os.fsdecode(cause.filename))}"
        if isinstance(cause.filename, (str, bytes))
        else "cannot write"
    )
    return f"{what}: {cause.strerror}; give another path, or mend what stands in its way"


def prefixed(error: InputError, name: str) -> InputError:
    """The same error with the file or value that it is of, unless it names it."""
    return error if str(error).startswith(name) else InputError(f"{name}: {error}")
