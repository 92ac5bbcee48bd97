"""One command at a time on what it writes: two that train into one place would mix their steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from supernet import locks
from supernet.atomic import make_folder, unwritable


@contextmanager
def one_at_a_time(target: Path, does: str) -> Iterator[None]:
    """Hold ``TARGET.lock``, whose folder is made, and removed again where nothing was put there.

    A killed command holds nobody up.

    Raises InputError where another command ``does`` the same, and where nothing can be written there.
    """
    place = target.absolute()  # `.` has no name
    lock = place.parent / f"{place.name}.lock"
    new = [folder for folder in lock.parents if not folder.exists()]
    try:
        make_folder(lock.parent)
        lock.touch()
    except OSError as error:
        raise unwritable(lock.parent, error) from error
    refusal = f"another process {does} {target}; wait for it or stop it, or choose another folder with --out"
    try:
        with locks.held(lock, refusal):
            yield
    finally:
        with suppress(OSError):  # what holds something stays
            for folder in new:
                folder.rmdir()
