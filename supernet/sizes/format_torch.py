"""torch's own files: an archive with a pickle and storages, TorchScript's with code too, and the stream of before 1.6.

The pickle is read, not run: see :mod:`supernet.sizes.pickle_reader`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from supernet.sizes.byte_map import CODE, EXAMPLES, METADATA, OTHER, PICKLED, UNUSED, ByteMap, MappedFile
from supernet.sizes.file_sizes import FileSizes, sizes_of_file
from supernet.sizes.pickle_reader import LargeValue, NotAPickle, read_pickle
from supernet.sizes.stored_tensor import BITS, Placed, StoredTensor, claimed
from supernet.sizes.strided import gathered, is_contiguous
from supernet.sizes.torch_pickle import Storage, View, storages_of, views_in
from supernet.sizes.zip_entries import Archive, ArchiveEntry

PICKLES = {"data.pkl": "data/", "constants.pkl": "constants/"}
"""Pickles of tensors in an archive, and the folder in which their storages are; TorchScript has both."""
SMALL_ENTRIES = ("version", ".format_version", ".storage_alignment", "byteorder", ".data/", "extra/")
MAGIC = 0x1950A86A20F9469CFC6C
"""What a file from before torch 1.6 begins with, as a pickle."""


def read(path: Path) -> FileSizes:
    file = MappedFile(path)
    if bytes(file.view[:4]) in (b"PK\x03\x04", b"PK\x05\x06"):
        return read_archive(file)
    if file.view[0] == 0x80:
        return read_stream(file)
    raise file.damaged("it begins neither as an archive nor as a pickle, as files of torch do")


@dataclass(frozen=True)
class Home:
    """Where the bytes of a storage are in a file: from ``start`` to ``end``, or compressed, and how to read some."""

    start: int
    end: int
    length: int
    is_compressed: bool
    pieces: Callable[[int, int], Iterable[memoryview | bytes]]


# -- since torch 1.6: an archive ---------------------------------------------------


def read_archive(file: MappedFile) -> FileSizes:
    archive = Archive(file)
    if "data.pkl" not in archive.entries:
        raise file.damaged("its archive has no data.pkl; a program of torch.export is named *.pt2")
    if archive.entries.get("byteorder") and archive.content(archive.entries["byteorder"]) == b"big":
        raise file.damaged("it is of a big-endian machine; save it anew on a little-endian one")
    is_script = any(name.startswith("code/") for name in archive.entries)
    placed, homes = [], []
    for name, folder in PICKLES.items():
        if name in archive.entries:
            views = views_of(archive, archive.entries[name])
            found = {key: home_in(archive, folder, storage) for key, storage in storages_of(views).items()}
            placed += [place(view, archive.map, found[view.storage.key]) for view in views]
            homes += list(found.values())

    def tensors() -> Iterator[StoredTensor]:
        yield from claimed(placed)
        claim_rest(archive, homes)

    return sizes_of_file(
        str(file.path), "TorchScript" if is_script else "PyTorch", {archive.map: OTHER}, tensors()
    )


def views_of(archive: Archive, entry: ArchiveEntry) -> list[View]:
    """Tensors that a pickle speaks of; what else is large in it is claimed."""
    large: list[LargeValue] = []
    try:
        views = list(views_in(read_pickle(archive.stream(entry), large)))
    except NotAPickle as error:
        raise archive.file.damaged(str(error)) from error
    if not entry.is_compressed:
        for one in large:
            archive.map.claim(entry.start + one.start, entry.start + one.end, PICKLED)
    return views


def home_in(archive: Archive, folder: str, storage: Storage) -> Home:
    entry = archive.entries.get(folder + storage.key)
    if entry is None:
        raise archive.file.damaged(f"the storage {storage.key!r} of a tensor is missing")
    return Home(
        entry.start, entry.end, entry.bytes, entry.is_compressed, lambda a, b: archive.pieces(entry, a, b)
    )


def place(view: View, found: ByteMap, home: Home) -> Placed:
    """A tensor with the bytes that are its. Raises InputError where its storage has not as many."""
    start, end = view.span
    if view.dtype not in BITS or end > home.length:
        raise found.file.damaged(
            f"the tensor {view.name!r} needs bytes up to {end:,} of a storage of {home.length:,}"
        )

    def bytes_of_it() -> Iterable[memoryview | bytes]:
        pieces = home.pieces(start, end)
        if is_contiguous(view.shape, view.strides):
            return pieces
        return gathered(memoryview(b"".join(pieces)), view.dtype, view.shape, view.strides)

    tensor = StoredTensor(view.name, view.dtype, view.shape, bytes_of_it, view.of_optimizer)
    if home.is_compressed:
        return Placed(tensor, found, home.start, home.end)
    return Placed(tensor, found, home.start + start, home.start + end)


def claim_rest(archive: Archive, homes: Iterable[Home]) -> None:
    """What is no tensor: storages that tensors are only part of, code, what torch writes about itself, headers."""
    for home in homes:
        archive.map.claim(home.start, home.end, UNUSED)
    for entry in archive.entries.values():
        archive.map.claim(entry.start, entry.end, kind_of_record(entry.name))
    archive.claim_headers()


def kind_of_record(name: str) -> str:
    """Of an entry that holds no tensor that a pickle speaks of."""
    if name.startswith("code/") or name.endswith(".debug_pkl"):
        return CODE
    if name.startswith("traced_inputs"):
        return EXAMPLES
    if name in PICKLES or name.startswith(SMALL_ENTRIES):
        return METADATA
    return UNUSED if name.startswith(tuple(PICKLES.values())) else OTHER


# -- before torch 1.6: pickles one after another, then storages --------------------


def read_stream(file: MappedFile) -> FileSizes:
    found = ByteMap(file)
    file.content.seek(0)
    try:
        if read_pickle(file.content) != MAGIC:
            raise NotAPickle("it is a pickle, and none of torch.save")
        large: list[LargeValue] = []
        _, about, value, keys = (read_pickle(file.content, large) for _ in range(4))
        views = list(views_in(value))
    except NotAPickle as error:
        raise file.damaged(str(error)) from error
    if isinstance(about, dict) and about.get("little_endian") is False:
        raise file.damaged("it is of a big-endian machine; save it anew on a little-endian one")
    homes = homes_in(file, storages_of(views), keys)
    missing = [view.name for view in views if view.storage.key not in homes]
    if missing:
        raise file.damaged(f"the storage of the tensor {missing[0]!r} is missing")
    placed = [place(view, found, homes[view.storage.key]) for view in views]

    def tensors() -> Iterator[StoredTensor]:
        yield from claimed(placed)
        for home in homes.values():
            found.claim(home.start - 8, home.start, METADATA)
            found.claim(home.start, home.end, UNUSED)
        for one in large:
            found.claim(one.start, one.end, PICKLED)
        found.claim(0, min((home.start for home in homes.values()), default=file.size), METADATA)

    return sizes_of_file(str(file.path), "PyTorch before 1.6", {found: OTHER}, tensors())


def homes_in(file: MappedFile, storages: Mapping[str, Storage], keys: object) -> dict[str, Home]:
    """Where each storage is: a number of elements, and these; in the order of ``keys``."""
    at = file.content.tell()
    homes: dict[str, Home] = {}
    for key in keys if isinstance(keys, list) else []:
        storage = storages.get(key) if isinstance(key, str) else None
        if storage is None:  # no tensor is of it, so that nobody tells how wide its elements are
            raise file.damaged(
                f"no tensor is of its storage {key!r}" if isinstance(key, str) else "a storage has no name"
            )
        elements = file.integer("<q", at)
        start = at + 8
        end = start + elements * BITS[storage.dtype] // 8
        if elements != storage.elements:
            raise file.damaged(f"a storage has {elements:,} elements, and {storage.elements:,} are said")
        file.bytes_at(start, end)
        homes[key] = home_at(file, start, end)
        at = end
    return homes


def home_at(file: MappedFile, start: int, end: int) -> Home:
    return Home(start, end, end - start, False, lambda a, b: (file.bytes_at(start + a, start + b),))
