"""safetensors: the length of a header in JSON, that header, and tensors one after another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from supernet import documents
from supernet.errors import short
from supernet.sizes.byte_map import CONTAINER, METADATA, OTHER, ByteMap, MappedFile
from supernet.sizes.file_sizes import FileSizes, sizes_of_file
from supernet.sizes.stored_tensor import Placed, StoredTensor, bytes_of, claimed, in_one_piece

FORMAT = "safetensors"
LENGTH = 8
"""Bytes of the header's length."""
LARGEST_HEADER = 100_000_000
"""What the safetensors library takes."""
DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu", "F4": "float4_e2m1",
    "C64": "complex64",
}  # fmt: skip


def read(path: Path) -> FileSizes:
    file = MappedFile(path)
    length = file.integer("<Q", 0)
    if length > min(LARGEST_HEADER, file.size - LENGTH):
        raise file.damaged(f"its header claims {length:,} bytes")
    start = LENGTH + length
    try:
        text = str(file.bytes_at(LENGTH, start), "utf-8")
    except UnicodeDecodeError as error:
        raise file.damaged(f"its header is no text: {error}") from error
    header = documents.json_object(text, str(path))
    found = ByteMap(file)
    padding = len(text) - len(text.rstrip(" "))
    found.claim(LENGTH, start - padding, METADATA)
    found.claim(start - padding, start, CONTAINER)
    found.claim(0, LENGTH, CONTAINER)
    placed = sorted(tensors_in(found, header, start), key=lambda one: one.start)
    return sizes_of_file(str(path), FORMAT, {found: OTHER}, claimed(placed))


def tensors_in(found: ByteMap, header: dict[str, object], start: int) -> Iterator[Placed]:
    file = found.file
    for name, about in header.items():
        if name == "__metadata__":
            continue
        try:
            assert isinstance(about, dict)
            dtype, shape = DTYPES[about["dtype"]], tuple(map(size, about["shape"]))
            begin, end = map(size, about["data_offsets"])
        except (AssertionError, KeyError, TypeError, ValueError):
            raise file.damaged(f"its header says of {short(name)}: {short(about)}") from None
        if begin > end or bytes_of(dtype, StoredTensor(name, dtype, shape, tuple).elements) != end - begin:
            raise file.damaged(f"{short(name)} is {dtype} {list(shape)}, and has the bytes {begin} to {end}")
        data = file.bytes_at(start + begin, start + end)
        yield Placed(StoredTensor(name, dtype, shape, in_one_piece(data)), found, start + begin, start + end)


def size(given: object) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or given < 0:
        raise ValueError(given)
    return given
