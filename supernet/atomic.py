"""Files written whole or not at all."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from supernet.errors import InputError
from supernet.printable import STEERING

ROOM_FOR_FILES = 300
"""Bytes for what is written below a folder: names of bundles and files."""
LEFT_S = 86_400
"""Seconds after which what is half written is taken for left by a killed process: another machine's may still be at it."""
FULL = (errno.ENOSPC, errno.EDQUOT)
"""The disk has no room, or its user's share of it has none."""
BY_OUT = "choose another folder with --out"
"""What to do where a path cannot be written, of most commands."""


class Unwritable(InputError):
    """The system refused to write ``path``; ``error`` is what it said."""

    def __init__(self, path: Path, error: OSError, otherwise: str) -> None:
        room = "make room there, or " if error.errno in FULL else ""
        super().__init__(f"cannot write {path}: {error.strerror or error}; {room}{otherwise}")
        self.path, self.error = path, error


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A sibling to write to: it becomes ``path`` on success and is removed on any failure.

    Folders on the way are made. Raises InputError where the folder cannot be written.
    """
    if not path.name:  # of `.` and `/`
        raise InputError(f"cannot write {path}: it is a folder; choose a file in it with --out")
    partial = partial_of(path)
    try:
        make_folder(path.parent)
        remove_left(path)
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with suppress(OSError):
            partial.unlink()  # gone already where it was renamed


def partial_of(path: Path) -> Path:
    """What this process writes before it becomes ``path``: a file or a folder beside it."""
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def remove_left(path: Path) -> None:
    """Remove what killed processes left half written of ``path``, a day ago or earlier."""
    name = re.compile(rf"\.{re.escape(path.name)}\.\d+\.partial")
    with suppress(OSError):
        for left in path.parent.iterdir():
            if name.fullmatch(left.name) and time.time() - left.stat().st_mtime > LEFT_S:
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def swap(one: Path, other: Path) -> bool:
    """Exchange two files or folders in one step, as Linux can on most file systems; whether that was possible."""
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if os.name == "posix" else None
    return rename is not None and rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are not there. ``Path.mkdir`` recurses, and fails where there are many."""
    missing = []
    for path in (folder, *folder.parents):
        if path.is_dir():
            break
        missing.append(path)
    for path in reversed(missing):
        path.mkdir(exist_ok=True)


def check_writable(folder: Path, otherwise: str = BY_OUT) -> None:
    """Raises InputError where ``folder`` cannot be made or written to; makes nothing."""
    if STEERING.search(str(folder)):
        raise InputError(
            f"cannot write {str(folder)!r}: it has characters that no text may hold; choose another folder with --out"
        )
    try:
        path = folder.absolute()
        above = next(part for part in (path, *path.parents) if os.path.lexists(part))
        if not above.exists():
            raise OSError(errno.ELOOP, f"{above} is a symbolic link that leads nowhere")
        if not above.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{above} is a file")
        if not os.access(above, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, f"{above} is read-only")
        check_length(path, above)
    except OSError as error:
        raise unwritable(folder, error, otherwise) from error


def check_length(path: Path, above: Path) -> None:
    """Raises OSError where the file system of ``above`` would refuse ``path``, or a file that is written in it."""
    longest_name, longest_path = (os.pathconf(above, limit) for limit in ("PC_NAME_MAX", "PC_PATH_MAX"))
    lengths = [len(os.fsencode(part)) for part in path.parts]
    if max(lengths) > longest_name:
        raise OSError(
            errno.ENAMETOOLONG,
            f"a name in it has {max(lengths):,} bytes, at most {longest_name} are possible",
        )
    if sum(lengths) + len(lengths) > longest_path - ROOM_FOR_FILES:
        raise OSError(
            errno.ENAMETOOLONG,
            f"the path has {len(os.fsencode(path)):,} bytes, at most {longest_path - ROOM_FOR_FILES:,} are possible",
        )


def unwritable(path: Path, error: OSError, otherwise: str = BY_OUT) -> Unwritable:
    """What the system refused, and what to do: ``otherwise``, or to make room on a full disk."""
    return Unwritable(path, error, otherwise)


def unwritable_folder(
    folder: Path, partial: Path, error: OSError | Unwritable, otherwise: str = BY_OUT
) -> Unwritable:
    """The same of a folder that is made whole as ``partial``, which nobody knows; what lies elsewhere keeps its name."""
    if isinstance(error, OSError):
        return unwritable(folder, error, otherwise)
    return unwritable(folder if error.path.is_relative_to(partial) else error.path, error.error, otherwise)
