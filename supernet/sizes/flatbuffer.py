"""FlatBuffers as tables that lie where they are.

A reader of our own, as small as it is: the packages that have these schemas bring a runtime of 100 MB (LiteRT) or have
not been kept, and neither says where in the file something is, which is what is asked here.
"""

from __future__ import annotations

from dataclasses import dataclass

from supernet.sizes.byte_map import MappedFile


@dataclass(frozen=True)
class FlatTable:
    """A table: a place in a file. Fields are asked for by their number in the schema.

    Every method raises InputError for what lies beyond the file; a field that is absent has its default.
    """

    file: MappedFile
    at: int

    def place(self, number: int) -> int:
        """Where a field is, 0 where it is absent."""
        table = self.at - self.file.integer("<i", self.at)
        size = self.file.integer("<H", table)
        slot = 4 + 2 * number
        offset = self.file.integer("<H", table + slot) if slot + 2 <= size else 0
        return self.at + offset if offset else 0

    def integer(self, number: int, form: str, default: int = 0) -> int:
        place = self.place(number)
        return self.file.integer(form, place) if place else default

    def follow(self, place: int) -> int:
        return place + self.file.integer("<I", place)

    def table(self, number: int) -> FlatTable | None:
        place = self.place(number)
        return FlatTable(self.file, self.follow(place)) if place else None

    def span(self, number: int, wide: int) -> tuple[int, int]:
        """From where to where the elements of a vector are; 0, 0 where it is absent."""
        place = self.place(number)
        if not place:
            return 0, 0
        start = self.follow(place)
        count = self.file.integer("<I", start)
        self.file.bytes_at(start + 4, start + 4 + count * wide)
        return start + 4, start + 4 + count * wide

    def integers(self, number: int, form: str, wide: int) -> list[int]:
        start, end = self.span(number, wide)
        return [self.file.integer(form, at) for at in range(start, end, wide)]

    def tables(self, number: int) -> list[FlatTable]:
        start, end = self.span(number, 4)
        return [FlatTable(self.file, self.follow(at)) for at in range(start, end, 4)]

    def text(self, number: int) -> str:
        start, end = self.span(number, 1)
        return str(self.file.bytes_at(start, end), "utf-8", "replace")


def root(file: MappedFile, identifiers: tuple[bytes, ...], what: str) -> FlatTable:
    """The first table. Raises InputError where the file begins otherwise."""
    if bytes(file.bytes_at(4, 8)) not in identifiers if file.size >= 8 else True:
        raise file.damaged(f"it does not begin as {what} does")
    return FlatTable(file, file.integer("<I", 0))
