"""A zip archive as bytes that lie where they are."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass

from supernet.archive_errors import ARCHIVE_ERRORS
from supernet.sizes.byte_map import CONTAINER, ByteMap, MappedFile

LOCAL_HEADER = 30
"""Bytes before an entry's name and its extra field, in which torch puts padding."""
DESCRIPTOR = 24
"""Bytes that may follow an entry: its sizes once more."""
LARGEST_ENTRY = 256 * 2**20
"""Of an entry that is read into memory; those of tensors are not."""
UNPACKED_AT_ONCE = 2**20


@dataclass(frozen=True)
class ArchiveEntry:
    """A file in an archive: its name without the archive's own folder, and the bytes it takes, compressed or not."""

    name: str
    start: int
    end: int
    bytes: int
    info: zipfile.ZipInfo

    @property
    def is_compressed(self) -> bool:
        return self.info.compress_type != zipfile.ZIP_STORED


class BytesAsFile:
    """Bytes as a file that is read from its beginning."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.at = 0

    def read(self, size: int, /) -> bytes:
        found = bytes(self.data[self.at : self.at + max(size, 0)])
        self.at += len(found)
        return found

    def readline(self) -> bytes:
        ends = (i for i in range(self.at, len(self.data)) if self.data[i] == 10)
        return self.read(next(ends, len(self.data)) + 1 - self.at)

    def tell(self) -> int:
        return self.at


class Archive:
    """The entries of a zip archive, whose headers are claimed. Raises InputError for a damaged one."""

    def __init__(self, file: MappedFile) -> None:
        self.file = file
        self.map = ByteMap(file)
        try:
            self.zip = zipfile.ZipFile(file.path)
            self.entries = {entry.name: entry for entry in self._find()}
        except (*ARCHIVE_ERRORS, ValueError) as error:
            raise file.damaged(f"its archive cannot be read: {error}") from error

    def _find(self) -> Iterator[ArchiveEntry]:
        infos = [info for info in self.zip.infolist() if info.filename and not info.is_dir()]
        folders = {info.filename.partition("/")[0] for info in infos}
        own = f"{folders.pop()}/" if len(folders) == 1 and all("/" in i.filename for i in infos) else ""
        for info in infos:
            name, extra = (self.file.integer("<H", info.header_offset + at) for at in (26, 28))
            start = info.header_offset + LOCAL_HEADER + name + extra
            end = start + info.compress_size
            self.file.bytes_at(start, end)
            self.map.claim(info.header_offset, start, CONTAINER)
            if info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
                raise self.file.damaged(f"{info.filename!r} claims {info.file_size:,} bytes")
            yield ArchiveEntry(info.filename.removeprefix(own), start, end, info.file_size, info)

    def claim_headers(self) -> None:
        """The list of entries at the end, and what follows each; after the entries, which come first."""
        for entry in self.entries.values():
            self.map.claim(entry.end, min(entry.end + DESCRIPTOR, self.file.size), CONTAINER)
        self.map.claim(self.zip.start_dir, self.file.size, CONTAINER)

    def stream(self, entry: ArchiveEntry) -> BytesAsFile:
        """All of one, which is not read into memory unless it is compressed."""
        data = self.file.bytes_at(entry.start, entry.end)
        return BytesAsFile(memoryview(self.content(entry)) if entry.is_compressed else data)

    def content(self, entry: ArchiveEntry) -> bytes:
        """All of a small one. Raises InputError where it is none, or damaged."""
        if entry.bytes > LARGEST_ENTRY:
            raise self.file.damaged(
                f"{entry.name!r} claims {entry.bytes:,} bytes, and no such part has as many"
            )
        return b"".join(self.pieces(entry, 0, entry.bytes))

    def pieces(self, entry: ArchiveEntry, start: int, end: int) -> Iterator[memoryview | bytes]:
        """Bytes of an entry, uncompressed."""
        if not entry.is_compressed:
            yield self.file.bytes_at(entry.start + start, entry.start + end)
            return
        try:
            with self.zip.open(entry.info) as stream:
                stream.seek(start)
                while start < end and (piece := stream.read(min(UNPACKED_AT_ONCE, end - start))):
                    start += len(piece)
                    yield piece
        except (*ARCHIVE_ERRORS, ValueError) as error:
            raise self.file.damaged(f"{entry.name!r} cannot be unpacked: {error}") from error
