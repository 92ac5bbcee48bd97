"""Programs of torch.export (.pt2): an archive of tensors, each a file, and JSON that names them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from supernet import documents
from supernet.errors import InputError, short
from supernet.sizes.byte_map import EXAMPLES, GRAPH, METADATA, OTHER, UNUSED, MappedFile
from supernet.sizes.file_sizes import FileSizes, sizes_of_file
from supernet.sizes.format_torch import Home, place
from supernet.sizes.stored_tensor import Placed, StoredTensor, claimed
from supernet.sizes.torch_pickle import Storage, View
from supernet.sizes.zip_entries import Archive

FORMAT = "torch.export"
DTYPES = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64",
    9: "complex32", 10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16", 28: "uint16", 29: "float8_e4m3fn",
    30: "float8_e5m2", 31: "float8_e4m3fnuz", 32: "float8_e5m2fnuz",
}  # fmt: skip
"""``ScalarType`` of ``torch._export.serde.schema``."""
TENSOR_LISTS = {"data/weights/": "_weights_config.json", "data/constants/": "_constants_config.json"}
"""Folders of tensors, and the end of the name of what lists these."""
PLAIN_ENTRIES = ("archive_format", "archive_version", "byteorder", ".data/", "version", "extra/", "data/")


def read(path: Path) -> FileSizes:
    file = MappedFile(path)
    archive = Archive(file)
    if not any(name.startswith("models/") and name.endswith(".json") for name in archive.entries):
        raise file.damaged("its archive has no models/NAME.json, as programs of torch.export do since 2.8")

    def tensors() -> Iterator[StoredTensor]:
        yield from claimed(stored(archive))
        for entry in archive.entries.values():
            archive.map.claim(entry.start, entry.end, kind_of_entry(entry.name))
        archive.claim_headers()

    return sizes_of_file(str(path), FORMAT, {archive.map: OTHER}, tensors())


def stored(archive: Archive) -> Iterator[Placed]:
    for folder, ending in TENSOR_LISTS.items():
        for entry in list(archive.entries.values()):
            if entry.name.startswith(folder) and entry.name.endswith(ending):
                about = config_in(archive.content(entry), f"{archive.file.path}: {entry.name}")
                for name, one in about.items():
                    yield from tensor_in(archive, folder, name, one)


def config_in(content: bytes, where: str) -> dict[str, Any]:
    try:
        about = documents.json_object(content.decode(), where).get("config")
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is no text: {error}") from error
    if not isinstance(about, dict):
        raise InputError(f"{where} has no config; copy or write the file once more")
    return about


def tensor_in(archive: Archive, folder: str, name: str, about: Any) -> Iterator[Placed]:
    """None of what is pickled: objects that are no plain tensors."""
    try:
        if about["use_pickle"] or about["tensor_meta"] is None:
            return
        meta, file = about["tensor_meta"], folder + about["path_name"]
        dtype, entry = DTYPES[meta["dtype"]], archive.entries[file]
        shape, strides = (tuple(side["as_int"] for side in meta[key]) for key in ("sizes", "strides"))
        offset = meta["storage_offset"]["as_int"]
        if not all(isinstance(n, int) and 0 <= n < 2**63 for n in (offset, *shape, *strides)):
            raise ValueError(offset)
        if len(shape) != len(strides):
            raise ValueError(strides)
    except (KeyError, TypeError, ValueError):
        raise archive.file.damaged(f"it says of {short(name)}: {short(json.dumps(about))}") from None
    home = Home(
        entry.start, entry.end, entry.bytes, entry.is_compressed, lambda a, b: archive.pieces(entry, a, b)
    )
    view = View(name, Storage(file, dtype, entry.bytes), dtype, offset, shape, strides, False)
    yield place(view, archive.map, home)


def kind_of_entry(name: str) -> str:
    """Of what no tensor is in."""
    if name.startswith("models/"):
        return GRAPH
    if name.startswith("data/sample_inputs/"):
        return EXAMPLES
    if name.endswith(".json") or name.startswith(PLAIN_ENTRIES[:-1]):
        return METADATA
    return UNUSED if name.startswith(PLAIN_ENTRIES[-1]) else OTHER
