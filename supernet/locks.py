"""One process at a time: the lock that everything here takes, which ends with the process, however it ends.

A lock is a file that is there as long as it is held; one that a killed process left holds nobody up.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from supernet.errors import InputError

if TYPE_CHECKING:
    from filelock import BaseFileLock

STEP_S = 0.2
"""Seconds between two looks at a lock that another process has."""
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""What a system says of a file system that has no locks."""


@contextmanager
def held(path: Path, refusal: str) -> Iterator[None]:
    """Hold the lock file at ``path``, whose folder is there.

    Raises InputError with ``refusal`` where another process, or another thread, holds it, and OSError where
    the file cannot be written.
    """
    lock = file_lock(path)
    if not acquired(lock, path, 0):
        raise InputError(refusal)
    try:
        yield
    finally:
        give_back(lock, path)


@contextmanager
def awaited(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file at ``path`` as soon as nobody else does; ``waiting`` is called between two looks at it."""
    lock = file_lock(path)
    while not acquired(lock, path, STEP_S):
        waiting()
    try:
        yield
    finally:
        give_back(lock, path)


@contextmanager
def held_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock file at ``path`` unless somebody else does; yields whether it is held."""
    lock = file_lock(path)
    if not acquired(lock, path, 0):
        yield False
        return
    try:
        yield True
    finally:
        give_back(lock, path)


def file_lock(path: Path) -> BaseFileLock:
    """A lock of the system, or none: one that is only a file would outlive a killed process."""
    from filelock import FileLock

    return FileLock(path, fallback_to_soft=False)


def acquired(lock: BaseFileLock, path: Path, seconds: float) -> bool:
    """Acquire a lock; whether that was possible within so many seconds.

    Raises InputError where the file system of ``path`` has no locks.
    """
    from filelock import Timeout

    try:
        lock.acquire(timeout=seconds)
    except Timeout:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        raise InputError(
            f"cannot lock {path}: {error.strerror}; its file system has no locks, as some network "
            "file systems: choose a folder on a local disk, with --out, or ONCEFIT_CACHE for what is kept. Machines "
            "share a search without a common folder by --storage postgresql+psycopg://USER@HOST/DATABASE"
        ) from error
    return True


def give_back(lock: BaseFileLock, path: Path) -> None:
    """Release it and remove its file: first the file, since whoever waits for it looks whether it is still there."""
    with suppress(OSError):  # Windows removes no file that is open
        path.unlink()
    lock.release()


def is_held(path: Path) -> bool:
    """Whether a process holds the lock file at ``path``; False where there is no such file."""
    if not path.exists():
        return False
    lock = file_lock(path)
    if not acquired(lock, path, 0):
        return True
    lock.release()
    return False
