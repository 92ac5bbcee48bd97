"""Files as bytes that lie where they are, and which part of a model each byte is for."""

from __future__ import annotations

import mmap
import struct
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from supernet.errors import InputError

WEIGHT_BYTES = "weights"
REPEATED = "repeated weights"
OPTIMIZER = "optimizer state"
PACKED = "packed for a processor"
UNUSED = "bytes that no tensor uses"
SCALE_BYTES = "quantisation scales"
DELEGATE = "compiled for a delegate"
GRAPH = "graph"
CODE = "code"
PICKLED = "text and bytes in a pickle"
EXAMPLES = "example inputs"
METADATA = "metadata"
CONTAINER = "headers and padding"
OTHER = "other"
PART_KINDS = (
    WEIGHT_BYTES, REPEATED, OPTIMIZER, PACKED, UNUSED, SCALE_BYTES, DELEGATE, GRAPH, CODE, PICKLED, EXAMPLES, METADATA, CONTAINER, OTHER,
)  # fmt: skip
"""Every part, in the order in which they are shown."""
OF_TENSORS = (WEIGHT_BYTES, REPEATED, OPTIMIZER)
"""Parts that are told by dtype."""


@dataclass(frozen=True, order=True)
class PartKey:
    """A kind of part, and the dtype of what it holds where that is tensors."""

    kind: str
    dtype: str = ""


class MappedFile:
    """A file's bytes without reading them into memory. Raises InputError for one that is empty or cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                self.size = file.seek(0, 2)
                if not self.size:
                    raise InputError(f"{path} is empty; copy or write it once more")
                self.content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}") from error
        self.view = memoryview(self.content)

    def bytes_at(self, start: int, end: int) -> memoryview:
        """Raises InputError where the file ends before."""
        if not 0 <= start <= end <= self.size:
            raise self.damaged(f"bytes {start:,} to {end:,} are needed, and it has {self.size:,}")
        return self.view[start:end]

    def integer(self, form: str, at: int) -> int:
        """A number of a ``struct`` form at a place."""
        return int(struct.unpack(form, self.bytes_at(at, at + struct.calcsize(form)))[0])

    def damaged(self, why: str) -> InputError:
        return InputError(
            f"{self.path} is damaged, or not what its name says: {why}; copy or write it once more"
        )


class ByteMap:
    """Which part each byte of a file is of. A byte stays with the first that claims it."""

    def __init__(self, file: MappedFile) -> None:
        self.file = file
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._bytes: Counter[PartKey] = Counter()

    def claim(self, start: int, end: int, kind: str, dtype: str = "") -> int:
        """How many bytes were free. Raises InputError where the file ends before."""
        self.file.bytes_at(start, end)
        taken = self._take(start, end)
        if taken:
            self._bytes[PartKey(kind, dtype)] += taken
        return taken

    def _take(self, start: int, end: int) -> int:
        """Mark bytes as claimed; touching and overlapping claims become one."""
        if start == end:
            return 0
        first = bisect_left(self._ends, start)
        last = bisect_left(self._starts, end + 1)
        inside = range(first, last)
        covered = sum(max(0, min(end, self._ends[i]) - max(start, self._starts[i])) for i in inside)
        low = min([start, *(self._starts[i] for i in inside)])
        high = max([end, *(self._ends[i] for i in inside)])
        self._starts[first:last], self._ends[first:last] = [low], [high]
        return end - start - covered

    def free(self, start: int, end: int) -> int:
        """How many bytes nobody has claimed."""
        inside = range(bisect_left(self._ends, start), bisect_left(self._starts, end + 1))
        return (
            end - start - sum(max(0, min(end, self._ends[i]) - max(start, self._starts[i])) for i in inside)
        )

    def parts(self, rest: str = OTHER) -> Mapping[PartKey, int]:
        """Bytes of each part; what nobody claimed is of ``rest``."""
        self.claim(0, self.file.size, rest)
        return dict(self._bytes)
