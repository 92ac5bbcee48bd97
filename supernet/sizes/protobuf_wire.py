"""Protocol buffers as fields that lie where they are; messages are had by whoever knows what they mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from supernet.sizes.byte_map import MappedFile

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class Field:
    """A field of a message: its number, its value if that is a number, and where its tag and its content are."""

    number: int
    wire: int
    value: int
    tag: int
    start: int
    end: int


def varint(file: MappedFile, at: int, end: int) -> tuple[int, int]:
    """The number at a place, and where it ends."""
    value = shift = 0
    while at < end and shift < 70:
        byte = file.view[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise file.damaged(f"a number at byte {at:,} has no end")


def fields(file: MappedFile, start: int, end: int) -> Iterator[Field]:
    """The fields of the message between two places. Raises InputError where one reaches beyond it."""
    at = start
    while at < end:
        tag = at
        key, at = varint(file, at, end)
        wire, value = key & 7, 0
        if wire == VARINT:
            begin = at
            value, at = varint(file, at, end)
        elif wire == LENGTH:
            size, begin = varint(file, at, end)
            at = begin + size
        elif wire in (FIXED64, FIXED32):
            begin, at = at, at + (8 if wire == FIXED64 else 4)
        else:
            raise file.damaged(f"byte {tag:,} begins no field of a protocol buffer")
        if at > end:
            raise file.damaged(f"what begins at byte {tag:,} is cut off")
        yield Field(key >> 3, wire, value, tag, begin, at)


def text(file: MappedFile, field: Field) -> str:
    return str(file.bytes_at(field.start, field.end), "utf-8", "replace")


def signed(value: int) -> int:
    """An ``int64`` or ``int32``, which is written with 64 bits."""
    return value - 2**64 if value >= 2**63 else value


def integers(file: MappedFile, field: Field) -> Iterator[int]:
    """Of a repeated field of whole numbers, packed or not."""
    if field.wire == VARINT:
        yield signed(field.value)
        return
    at = field.start
    while at < field.end:
        value, at = varint(file, at, field.end)
        yield signed(value)
