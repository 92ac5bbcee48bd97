"""Images out of a TAR or ZIP file of somebody else's: nothing is written outside of a new folder, and not without end."""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

from supernet.archive_errors import ARCHIVE_ERRORS
from supernet.atomic import make_folder
from supernet.errors import InputError, short
from supernet.images.image_folder import LARGEST_IMAGE, SUFFIXES, suffix_of

MOST_PACKED = 5_000_000
"""Files and folders in an archive: ImageNet has 1.3 million images."""
SHARE_OF_FREE = 0.9
"""Of the free space of a disk, so much may be filled by what is packed."""
READ_AT_ONCE = 2**20
PACKED_BY: Mapping[bytes, Callable[[Path, str], Any]] = {
    b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open,
}  # fmt: skip
"""How a TAR file is packed, by its first bytes."""
NO_FILE = "a kind that is neither file nor folder, as a link"


@dataclass(frozen=True)
class PackedEntry:
    """A name in an archive, and how to read it; ``odd`` says what it is where that is neither a file nor a folder."""

    name: str
    size: int
    is_folder: bool
    read: Callable[[], IO[bytes]]
    odd: str | None = None

    @property
    def is_image(self) -> bool:
        """Whether it is a file to unpack."""
        path = PurePosixPath(self.name)
        hidden = any(part.startswith(".") for part in path.parts)
        return not self.is_folder and not hidden and suffix_of(path.name) in SUFFIXES


def is_archive(path: Path) -> bool:
    """Whether a file is a TAR, packed or not, or a ZIP file. Raises InputError where it cannot be read."""
    try:
        return path.is_file() and (zipfile.is_zipfile(path) or is_tar(path))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def is_tar(path: Path) -> bool:
    try:
        with opened_tar(path):
            return True
    except ARCHIVE_ERRORS as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        return False


def unpack_images(archive: Path, folder: Path) -> None:
    """Write the images in an archive below ``folder``, which is made, under the names that they have in it.

    Raises InputError for an archive that is damaged or too large, and for one with a link or device, with an absolute name
    or one with ``..``, or with the same name twice: a plain archive of images has none of these.
    """
    make_folder(folder)
    left = int(SHARE_OF_FREE * shutil.disk_usage(folder).free)
    try:
        for count, entry in enumerate(entries_of(archive), 1):
            check_member(entry, archive)
            if count > MOST_PACKED:
                raise InputError(f"{archive} has more than {MOST_PACKED:,} entries; give a smaller one")
            if entry.is_image:
                left -= entry.size
                if left < 0:
                    raise InputError(
                        f"{archive} holds more than fits on the disk; make room, or use another one with --out"
                    )
                write_entry(entry, folder, archive)
    except ARCHIVE_ERRORS as error:
        if isinstance(error, OSError) and error.errno is not None:  # the system's, as a full disk
            raise
        raise InputError(
            f"{archive} cannot be unpacked: {error or type(error).__name__}; pack it again"
        ) from error


def check_member(entry: PackedEntry, archive: Path) -> None:
    """Raises InputError for what a plain archive of images does not hold."""
    path = PurePosixPath(entry.name)
    wrong = entry.odd
    if path.is_absolute() or ".." in path.parts:
        wrong = "a name that leads out of the folder"
    elif "\0" in entry.name or "\\" in entry.name or not is_text(entry.name):
        wrong = "a name that is no plain path"
    elif entry.is_image and entry.size > LARGEST_IMAGE:
        wrong = f"{entry.size:,} bytes, and an image has at most {LARGEST_IMAGE:,}"
    if wrong is not None:
        raise InputError(f"{archive}: {short(entry.name)} has {wrong}; pack plain folders of images")


def is_text(name: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in name)


def write_entry(entry: PackedEntry, folder: Path, archive: Path) -> None:
    """Write one file, of which no more than the archive said is read."""
    target = folder / PurePosixPath(entry.name)
    try:
        make_folder(target.parent)
        out = target.open("xb")
    except FileExistsError:
        raise InputError(
            f"{archive}: {short(entry.name)} is there twice, or a folder and a file; pack each image once"
        ) from None
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise InputError(
            f"{archive}: {short(entry.name)} is a longer name than this disk takes; give shorter ones, and pack again"
        ) from None
    with out, entry.read() as packed:
        size = 0
        while chunk := packed.read(READ_AT_ONCE):
            size += len(chunk)
            if size > entry.size:
                raise InputError(
                    f"{archive}: {short(entry.name)} is larger than it says; pack the images again"
                )
            out.write(chunk)


def entries_of(archive: Path) -> Iterator[PackedEntry]:
    """What a TAR or ZIP file holds, in order; each is read, if at all, before the next."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            yield from map(partial(zip_entry, zipped), zipped.infolist())
    else:
        with opened_tar(archive) as tarred:
            while (member := tarred.next()) is not None:
                tarred.members.clear()  # type: ignore[attr-defined]  # or all of them stay in memory
                yield tar_entry(tarred, member)


class SmallReads:
    """A file of which nobody reads much at once: Python's module keeps a header whole, however large it says it is."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        if size > READ_AT_ONCE:
            raise tarfile.ReadError(
                f"a header in it claims {size:,} bytes, {READ_AT_ONCE:,} at most are possible"
            )
        return self.file.read(size)


@contextmanager
def opened_tar(path: Path) -> Iterator[tarfile.TarFile]:
    """A TAR file by how it is packed, which its first bytes say."""
    with path.open("rb") as plain:
        start = plain.read(max(map(len, PACKED_BY)))
    unpack = next((found for first, found in PACKED_BY.items() if start.startswith(first)), open)
    with (
        unpack(path, "rb") as unpacked,
        tarfile.open(fileobj=SmallReads(unpacked), mode="r:") as tarred,  # type: ignore[call-overload]
    ):
        yield tarred


def tar_entry(file: tarfile.TarFile, member: tarfile.TarInfo) -> PackedEntry:
    def read() -> IO[bytes]:
        found = file.extractfile(member)
        assert found is not None
        return found

    plain = member.isreg() or member.isdir()
    return PackedEntry(member.name, member.size, member.isdir(), read, None if plain else NO_FILE)


def zip_entry(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> PackedEntry:
    kind = info.external_attr >> 28  # of Unix's modes; other systems leave it 0
    plain = kind in (0, stat.S_IFDIR >> 12, stat.S_IFREG >> 12)
    return PackedEntry(
        info.filename, info.file_size, info.is_dir(), partial(file.open, info), None if plain else NO_FILE
    )
