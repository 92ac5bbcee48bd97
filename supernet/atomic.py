"""Files written whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from supernet.errors import InputError
from supernet.printable import STEERING

ROOM_FOR_FILES = 300
"""Bytes for what is written below a folder: names of bundles and files."""


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A sibling to write to: it becomes ``path`` on success and is removed on any failure.

    Folders on the way are made. Raises InputError where the folder cannot be written.
    """
    if not path.name:  # of `.` and `/`
        raise InputError(f"cannot write {path}: it is a folder; choose a file in it with --out")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        make_folder(path.parent)
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with suppress(OSError):
            partial.unlink()  # gone already where it was renamed


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are not there. ``Path.mkdir`` recurses, and fails where there are many."""
    missing = []
    for path in (folder, *folder.parents):
        if path.is_dir():
            break
        missing.append(path)
    for path in reversed(missing):
        path.mkdir(exist_ok=True)


def check_writable(folder: Path) -> None:
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
        raise unwritable(folder, error) from error


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


def unwritable(path: Path, error: OSError) -> InputError:
    return InputError(f"cannot write {path}: {error.strerror or error}; choose another folder with --out")
