"""A disk of a few megabytes, which fills up, grows and becomes read-only as a test says: where one may mount it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

FILLER = "filler"


@dataclass(frozen=True)
class Disk:
    folder: Path

    def become(self, *options: str) -> None:
        """``size=1m``, ``ro`` or ``rw``."""
        command = ["mount", "-o", ",".join(("remount", *options)), str(self.folder)]
        subprocess.run(command, check=True, capture_output=True)

    def fill(self, left: int = 0) -> None:
        """Take all room but so many bytes."""
        found = os.statvfs(self.folder)
        (self.folder / FILLER).write_bytes(bytes(found.f_bavail * found.f_frsize - left))

    def empty(self) -> None:
        (self.folder / FILLER).unlink()


@contextmanager
def small_disk(folder: Path, size: str = "8m") -> Iterator[Disk]:
    """A file system of its own at ``folder``, which is made. Skips the test where none may be mounted."""
    folder.mkdir()
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True
        ).returncode  # fmt: skip
    except FileNotFoundError:
        mounted = -1
    if mounted != 0:
        pytest.skip("no disk can be mounted here, which takes Linux and root")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, capture_output=True)
