"""One process at a time: the lock that everything here takes, which ends with the process, however it ends.

A lock is a file that is there as long as it is held; one that a killed process left holds nobody up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from supernet.errors import InputError

if TYPE_CHECKING:
    from filelock import BaseFileLock

STEP_S = 0.2
"""Seconds between two looks at a lock that another process has."""


@contextmanager
def held(path: Path, refusal: str) -> Iterator[None]:
    """Hold the lock file at ``path``, whose folder is there.

    Raises InputError with ``refusal`` where another process, or another thread, holds it, and OSError where
    the file cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(refusal) from None
    try:
        yield
    finally:
        give_back(lock, path)


@contextmanager
def awaited(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file at ``path`` as soon as nobody else does; ``waiting`` is called between two looks at it."""
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    while not lock.is_locked:
        try:
            lock.acquire(timeout=STEP_S)
        except Timeout:
            waiting()
    try:
        yield
    finally:
        give_back(lock, path)


@contextmanager
def held_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock file at ``path`` unless somebody else does; yields whether it is held."""
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        give_back(lock, path)


def give_back(lock: BaseFileLock, path: Path) -> None:
    """Release it and remove its file: first the file, since whoever waits for it looks whether it is still there."""
    with suppress(OSError):  # Windows removes no file that is open
        path.unlink()
    lock.release()


def is_held(path: Path) -> bool:
    """Whether a process holds the lock file at ``path``; False where there is no such file."""
    from filelock import FileLock, Timeout

    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False
