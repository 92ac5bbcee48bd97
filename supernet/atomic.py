"""Files written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from supernet.errors import InputError


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A sibling to write to: it becomes ``path`` on success and is removed on any failure.

    Folders on the way are made. Raises InputError where the folder cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with suppress(OSError):
            partial.unlink()  # gone already where it was renamed


def check_writable(folder: Path) -> None:
    """Raises InputError where ``folder`` cannot be made or written to; makes nothing."""
    above = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    if not above.is_dir():
        raise unwritable(folder, NotADirectoryError(0, f"{above} is a file"))
    if not os.access(above, os.W_OK | os.X_OK):
        raise unwritable(folder, PermissionError(0, f"{above} is read-only"))


def unwritable(path: Path, error: OSError) -> InputError:
    return InputError(f"cannot write {path}: {error.strerror or error}; choose another folder with --out")
