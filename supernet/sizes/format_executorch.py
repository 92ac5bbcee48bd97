"""ExecuTorch (.pte): a FlatBuffer with the program, and behind it segments of weights and of what delegates run.

Numbers of fields are those of ExecuTorch's ``program.fbs``. What a delegate has compiled has no tensors that are told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from supernet.sizes.byte_map import CONTAINER, DELEGATE, GRAPH, OTHER, ByteMap, MappedFile
from supernet.sizes.file_sizes import FileSizes, sizes_of_file
from supernet.sizes.flatbuffer import FlatTable, root
from supernet.sizes.stored_tensor import UNKNOWN_DTYPE, Placed, StoredTensor, claimed

FORMAT = "ExecuTorch"
IDENTIFIERS = (b"ET12",)
HEADER = b"eh00"
"""At byte 8: its length, how long the program is, and where the segments begin."""
PLANS, BUFFERS, INLINE, SEGMENTS, CONSTANTS, _, NAMED = range(1, 8)  # of Program
VALUES, DELEGATES = 2, 7  # of ExecutionPlan
TENSOR = 5  # of the union KernelTypes
SCALAR_TYPE, _, SIZES, _, _, DATA_BUFFER = range(6)  # of Tensor
EXTRA = 9  # of Tensor: its full name
DTYPES = {
    0: "uint8", 1: "int8", 2: "int16", 3: "int32", 4: "int64", 5: "float16", 6: "float32", 7: "float64", 11: "bool",
    12: "qint8", 13: "quint8", 14: "qint32", 15: "bfloat16",
}  # fmt: skip


@dataclass(frozen=True)
class DataSegment:
    start: int
    end: int


def read(path: Path) -> FileSizes:
    file = MappedFile(path)
    program = root(file, IDENTIFIERS, "a program of ExecuTorch")
    base, end = 0, file.size
    if bytes(file.bytes_at(8, 12)) == HEADER:
        end, base = file.integer("<Q", 16), file.integer("<Q", 24)
    found = ByteMap(file)
    segments = [data_segment(one, base) for one in program.tables(SEGMENTS)]

    def tensors() -> Iterator[StoredTensor]:
        yield from claimed(stored(program, segments, found))
        for one in delegated(program, segments):
            found.claim(one.start, one.end, DELEGATE)
        for one in segments:
            found.claim(one.start, one.end, OTHER)
        found.claim(0, min(end, file.size), GRAPH)

    return sizes_of_file(str(path), FORMAT, {found: CONTAINER}, tensors())


def data_segment(table: FlatTable, base: int) -> DataSegment:
    start, size = base + table.integer(0, "<Q"), table.integer(1, "<Q")
    table.file.bytes_at(start, start + size)
    return DataSegment(start, start + size)


def segment(segments: list[DataSegment], number: int, file: MappedFile) -> DataSegment:
    if not 0 <= number < len(segments):
        raise file.damaged(f"it needs the segment {number}, and there are {len(segments)}")
    return segments[number]


# -- weights -----------------------------------------------------------------------


def stored(program: FlatTable, segments: list[DataSegment], found: ByteMap) -> Iterator[Placed]:
    """Constants of the program, then what delegates have under a name, whose dtype and shape nobody tells."""
    file = found.file
    homes = constants(program, segments, file)
    for plan in program.tables(PLANS):
        for i, value in enumerate(plan.tables(VALUES)):
            tensor = value.table(1) if value.integer(0, "<B") == TENSOR else None
            number = tensor.integer(DATA_BUFFER, "<I") if tensor is not None else 0
            if tensor is not None and 0 < number < len(homes):
                yield constant(tensor, homes[number], found, f"value {i}")
    for named in program.tables(NAMED):
        one = segment(segments, named.integer(1, "<I"), file)
        yield opaque(named.text(0), one, found)


def constants(program: FlatTable, segments: list[DataSegment], file: MappedFile) -> list[DataSegment]:
    """Where the buffers of constants are: from offsets in one segment, or in the program itself."""
    inside = program.table(CONSTANTS)
    offsets = inside.integers(1, "<Q", 8) if inside is not None else []
    if inside is None or not offsets:
        return [DataSegment(*buffer.span(0, 1)) for buffer in program.tables(BUFFERS)]
    home = segment(segments, inside.integer(0, "<I"), file)
    return [DataSegment(home.start + offset, home.end) for offset in offsets]


def constant(tensor: FlatTable, home: DataSegment, found: ByteMap, name: str) -> Placed:
    extra = tensor.table(EXTRA)
    name = (extra.text(1) if extra is not None else "") or name
    dtype = DTYPES.get(tensor.integer(SCALAR_TYPE, "<b"), UNKNOWN_DTYPE)
    shape = tuple(tensor.integers(SIZES, "<i", 4))
    one = StoredTensor(name, dtype, shape, tuple)
    end = home.start + one.bytes
    if min(shape, default=0) < 0 or end > home.end:
        raise found.file.damaged(f"{name} is {dtype} {list(shape)}, and has {home.end - home.start:,} bytes")
    return Placed(
        StoredTensor(name, dtype, shape, lambda: (found.file.bytes_at(home.start, end),)),
        found,
        home.start,
        end,
    )


def opaque(name: str, home: DataSegment, found: ByteMap) -> Placed:
    """Bytes under a name."""
    data = found.file.bytes_at(home.start, home.end)
    one = StoredTensor(name, UNKNOWN_DTYPE, (home.end - home.start,), lambda: (data,))
    return Placed(one, found, home.start, home.end)


# -- delegates ---------------------------------------------------------------------


def delegated(program: FlatTable, segments: list[DataSegment]) -> Iterator[DataSegment]:
    """What delegates were given, in the program or in segments."""
    inline = program.tables(INLINE)
    for plan in program.tables(PLANS):
        for delegate in plan.tables(DELEGATES):
            reference = delegate.table(1)
            if reference is None:
                continue
            number = reference.integer(1, "<I")
            if reference.integer(0, "<b") == 1:
                yield segment(segments, number, program.file)
            elif number < len(inline):
                yield DataSegment(*inline[number].span(0, 1))
