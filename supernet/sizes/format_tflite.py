"""TensorFlow Lite: a FlatBuffer with buffers, and tensors that say which one is theirs.

Numbers of fields are those of TensorFlow's ``schema.fbs``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from supernet.errors import short
from supernet.sizes.byte_map import GRAPH, METADATA, SCALE_BYTES, ByteMap, MappedFile
from supernet.sizes.file_sizes import FileSizes, sizes_of_file
from supernet.sizes.flatbuffer import FlatTable, root
from supernet.sizes.stored_tensor import UNKNOWN_DTYPE, Placed, StoredTensor, claimed

FORMAT = "TensorFlow Lite"
IDENTIFIERS = (b"TFL3",)
DTYPES = {
    0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 5: "string", 6: "bool", 7: "int16", 8: "complex64",
    9: "int8", 10: "float64", 11: "complex128", 12: "uint64", 15: "uint32", 16: "uint16", 17: "int4", 18: "bfloat16",
    19: "int2", 20: "uint4",
}  # fmt: skip
SUBGRAPHS, DESCRIPTION, BUFFERS, METADATAS = 2, 3, 4, 6  # of Model
SHAPE, TYPE, BUFFER, NAME, QUANTISATION = range(5)  # of Tensor
SCALE, ZERO_POINT = 2, 3  # of QuantizationParameters


@dataclass(frozen=True)
class Span:
    start: int
    end: int


def read(path: Path) -> FileSizes:
    file = MappedFile(path)
    model = root(file, IDENTIFIERS, "a model of TensorFlow Lite")
    found = ByteMap(file)
    buffers = [span_of(buffer) for buffer in model.tables(BUFFERS)]
    tensors = [tensor for graph in model.tables(SUBGRAPHS) for tensor in graph.tables(0)]

    def told() -> Iterator[StoredTensor]:
        yield from claimed(placed for tensor in tensors for placed in stored(tensor, buffers, found))
        claim_scales(tensors, found)
        claim_metadata(model, buffers, found)

    return sizes_of_file(str(path), FORMAT, {found: GRAPH}, told())


def span_of(buffer: FlatTable) -> Span:
    """Where a buffer's bytes are: in it, or, of a model of over 2 GB, behind the FlatBuffer."""
    start, end = buffer.span(0, 1)
    offset, size = buffer.integer(1, "<Q"), buffer.integer(2, "<Q")
    if offset > 1 and size:
        buffer.file.bytes_at(offset, offset + size)
        return Span(offset, offset + size)
    return Span(start, end)


def stored(tensor: FlatTable, buffers: list[Span], found: ByteMap) -> Iterator[Placed]:
    """A tensor with bytes of its own; others are made as the model runs."""
    number, name = tensor.integer(BUFFER, "<I"), tensor.text(NAME)
    if number >= len(buffers):
        raise found.file.damaged(f"{short(name)} is in the buffer {number}, and there are {len(buffers)}")
    span = buffers[number]
    if span.start == span.end:
        return
    dtype = DTYPES.get(tensor.integer(TYPE, "<b"), UNKNOWN_DTYPE)
    shape = tuple(tensor.integers(SHAPE, "<i", 4))
    one = StoredTensor(name, dtype, shape, lambda: (found.file.bytes_at(span.start, span.end),))
    if min(shape, default=0) < 0 or (one.bytes not in (0, span.end - span.start) and dtype != "string"):
        raise found.file.damaged(
            f"{short(name)} is {dtype} {list(shape)}, and has {span.end - span.start:,} bytes"
        )
    yield Placed(one, found, span.start, span.end)


def claim_scales(tensors: list[FlatTable], found: ByteMap) -> None:
    """What turns whole numbers back into weights: a scale and a zero point, of a tensor or of each channel."""
    for tensor in tensors:
        how = tensor.table(QUANTISATION)
        if how is not None:
            found.claim(*how.span(SCALE, 4), SCALE_BYTES)
            found.claim(*how.span(ZERO_POINT, 8), SCALE_BYTES)


def claim_metadata(model: FlatTable, buffers: list[Span], found: ByteMap) -> None:
    for entry in model.tables(METADATAS):
        number = entry.integer(1, "<I")
        if number < len(buffers):
            found.claim(buffers[number].start, buffers[number].end, METADATA)
    found.claim(*model.span(DESCRIPTION, 1), METADATA)
