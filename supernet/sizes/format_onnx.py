"""ONNX: a protocol buffer whose tensors are in it, or in files beside it.

Its fields are followed here where they lie, as the library hands out no places; numbers are those of ``onnx.proto``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from supernet.errors import InputError, short
from supernet.sizes.byte_map import GRAPH, METADATA, PACKED, UNUSED, ByteMap, MappedFile
from supernet.sizes.file_sizes import FileSizes, sizes_of_file
from supernet.sizes.protobuf_wire import LENGTH, Field, fields, integers, text
from supernet.sizes.stored_tensor import BITS, UNKNOWN_DTYPE, Placed, StoredTensor, claimed, in_one_piece

FORMAT = "ONNX"
DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string", 9: "bool",
    10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16",
    17: "float8_e4m3fn", 18: "float8_e4m3fnuz", 19: "float8_e5m2", 20: "float8_e5m2fnuz", 21: "uint4", 22: "int4",
    23: "float4_e2m1", 24: "float8_e8m0fnu", 25: "uint2", 26: "int2",
}  # fmt: skip
DEEPEST_GRAPH = 64
"""Graphs and attributes within each other."""

# ModelProto, GraphProto, NodeProto, AttributeProto, FunctionProto and SparseTensorProto: fields that hold tensors
MODEL = {7: "graph", 25: "function"}
INSIDE: dict[str, dict[int, str]] = {
    "model": MODEL,
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "sparse": {1: "tensor", 2: "tensor"},
}
TOLD_FIELDS = {
    "model": (2, 3, 4, 6, 14),
    "graph": (10, 16),
    "node": (6, 9),
    "attribute": (13,),
    "function": (8, 14),
}
"""Fields that are no part of the graph: who made it, doc strings, properties."""
MODEL_FIELDS = (1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26)
PACKED_AT = re.compile(r"\|([0-9]{1,18});([0-9]{1,18});")
"""Offset and length of each part of ``prepacked_0``: ``Gemm+123|1362432;16384;0``."""


@dataclass
class Tensor:
    """A TensorProto as far as it was read."""

    name: str = ""
    dtype: str = UNKNOWN_DTYPE
    shape: list[int] = field(default_factory=list)
    data: list[Field] = field(default_factory=list)
    external: dict[str, str] = field(default_factory=dict)

    @property
    def packed(self) -> list[tuple[int, int]]:
        """Where ONNX Runtime keeps it once more, in the order in which a processor takes it."""
        found = [
            PACKED_AT.findall(text) for key, text in self.external.items() if key.startswith("prepacked")
        ]
        return [(int(start), int(start) + int(size)) for each in found for start, size in each]


def read(path: Path) -> FileSizes:
    file = MappedFile(path)
    numbers = [found.number for found in fields(file, 0, file.size)]
    if not set(numbers) <= set(MODEL_FIELDS) or 7 not in numbers:
        raise file.damaged("it holds no graph of ONNX")
    walk = _Walk(ByteMap(file))

    def tensors() -> Iterator[StoredTensor]:
        yield from claimed(walk.message("model", 0, file.size, "", 0))
        for start, end in walk.told:
            walk.map.claim(start, end, METADATA)
        for place, start, end in walk.packed:
            place.claim(start, end, PACKED)

    found = tuple(tensors())  # which opens the files beside it
    return sizes_of_file(
        str(path), FORMAT, {walk.map: GRAPH} | dict.fromkeys(walk.beside.values(), UNUSED), found
    )


class _Walk:
    """From message to message, collecting what is metadata and opening files that tensors are in."""

    def __init__(self, found: ByteMap) -> None:
        self.map = found
        self.told: list[tuple[int, int]] = []
        self.beside: dict[str, ByteMap] = {}
        self.packed: list[tuple[ByteMap, int, int]] = []

    def message(self, kind: str, start: int, end: int, name: str, depth: int) -> Iterator[Placed]:
        file = self.map.file
        if depth > DEEPEST_GRAPH:
            raise file.damaged(f"its graphs stand within each other on more than {DEEPEST_GRAPH} levels")
        for one in fields(file, start, end):
            inner = INSIDE[kind].get(one.number)
            if one.wire != LENGTH:
                continue
            if one.number in TOLD_FIELDS.get(kind, ()):
                self.told.append((one.tag, one.end))
            elif inner == "tensor":
                yield from self.tensor(one, name)
            elif inner is not None:
                called = name if inner != "node" else node_name(file, one)
                yield from self.message(inner, one.start, one.end, called, depth + 1)

    def tensor(self, one: Field, of: str) -> Iterator[Placed]:
        file = self.map.file
        found = read_tensor(file, one)
        name = found.name or (f"constant of {of}" if of else "constant")
        if found.dtype == "string":
            return
        if found.external:
            yield self.outside(name, found)
            return
        size = StoredTensor(name, found.dtype, tuple(found.shape), tuple).bytes
        for data in found.data:
            if data.number == 9 and data.end - data.start != size:
                raise file.damaged(
                    f"{short(name)} is {found.dtype} {found.shape}, and has {data.end - data.start:,} bytes"
                )
            tensor = StoredTensor(
                name, found.dtype, tuple(found.shape), content_reader(file, data, found.dtype)
            )
            yield Placed(tensor, self.map, data.start, data.end)

    def outside(self, name: str, found: Tensor) -> Placed:
        """A tensor whose bytes are in a file beside the model."""
        place = self.opened(found.external.get("location", ""))
        size = StoredTensor(name, found.dtype, tuple(found.shape), tuple).bytes
        try:
            start = int(found.external.get("offset", "0"))
            end = start + int(found.external.get("length", str(size)))
        except ValueError:
            raise self.map.file.damaged(f"{short(name)} is in another file, nobody knows where") from None
        if end - start != size:
            raise self.map.file.damaged(
                f"{short(name)} is {found.dtype} {found.shape}, and has {end - start:,} bytes"
            )
        data = place.file.bytes_at(start, end)
        self.packed += [(place, *span) for span in found.packed]
        tensor = StoredTensor(name, found.dtype, tuple(found.shape), in_one_piece(data))
        return Placed(tensor, place, start, end)

    def opened(self, location: str) -> ByteMap:
        """A file beside the model. Raises InputError for one elsewhere, which a model must not name."""
        path = PurePosixPath(location)
        if not location or "\0" in location or path.is_absolute() or ".." in path.parts:
            raise InputError(
                f"{self.map.file.path} has tensors in {short(location)}; a file beside it is possible"
            )
        if location not in self.beside:
            self.beside[location] = ByteMap(MappedFile(self.map.file.path.parent / location))
        return self.beside[location]


def node_name(file: MappedFile, node: Field) -> str:
    """What a node is called, or its first output."""
    found = {
        one.number: text(file, one) for one in fields(file, node.start, node.end) if one.number in (2, 3)
    }
    return found.get(3) or found.get(2) or "a node"


def read_tensor(file: MappedFile, one: Field) -> Tensor:
    found = Tensor()
    for part in fields(file, one.start, one.end):
        if part.number == 1:
            found.shape += integers(file, part)
        elif part.number == 2:
            found.dtype = DTYPES.get(part.value, UNKNOWN_DTYPE)
        elif part.number == 8:
            found.name = text(file, part)
        elif part.number in (4, 5, 7, 9, 10, 11) and part.wire == LENGTH:
            found.data.append(part)
        elif part.number == 13:
            pair = {inner.number: text(file, inner) for inner in fields(file, part.start, part.end)}
            found.external[pair.get(1, "")] = pair.get(2, "")
    if any(not 0 <= side < 2**63 for side in found.shape):
        raise file.damaged(f"the tensor {short(found.name)} has the shape {found.shape}")
    return found


def content_reader(file: MappedFile, data: Field, dtype: str) -> Callable[[], tuple[memoryview | bytes]]:
    """The bytes of a tensor, which are there as they are, or as a list of numbers of varying length."""
    if data.number in (4, 9, 10):
        return lambda: (file.bytes_at(data.start, data.end),)
    wide = max(1, BITS.get(dtype, 8) // 8)

    def decoded() -> tuple[bytes]:
        values = np.array([value % 2**64 for value in integers(file, data)], np.uint64)
        return (values.astype(f"<u{min(8, wide)}").tobytes(),)

    return decoded
