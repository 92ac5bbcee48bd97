"""Bytes of files that somebody else made: no more than there is use for, and only what has an end."""

from __future__ import annotations

import errno
import gzip
import stat
from pathlib import Path
from typing import IO


def read_at_most(path: Path, most: int) -> bytes:
    """The bytes of a file. Raises OSError for a larger one, and for what is no regular file, as ``/dev/zero``."""
    check_has_an_end(path)
    with path.open("rb") as file:
        return first_of(file, most)


def unpacked_at_most(path: Path, most: int) -> bytes:
    """The bytes in a gzip file, of which a few may stand for very many. Raises OSError, EOFError or zlib.error."""
    with gzip.open(path, "rb") as file:
        return first_of(file, most)


def first_of(file: IO[bytes] | gzip.GzipFile, most: int) -> bytes:
    """What is left in an open file. Raises OSError where that is more than ``most`` bytes."""
    content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it holds more than {most / 2**20:,.0f} MiB")
    return content


def check_has_an_end(path: Path) -> None:
    """Raises OSError for what is there and no regular file: a device may never end, and a pipe may never begin."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # of a folder the system says more
        raise OSError(errno.EINVAL, "it is no regular file")
