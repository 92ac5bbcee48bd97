"""What is known of a model file: its parts, which add up to it, and its tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from supernet.sizes.byte_map import PART_KINDS, ByteMap, PartKey
from supernet.sizes.stored_tensor import StoredTensor


@dataclass(frozen=True)
class FileSizes:
    """A model: the files that it is stored in with their bytes, the bytes of each part, and its tensors.

    The parts add up to the files.
    """

    name: str
    format: str
    files: Mapping[str, int]
    parts: Mapping[PartKey, int]
    tensors: tuple[StoredTensor, ...] = ()

    @property
    def bytes(self) -> int:
        return sum(self.files.values())


def sizes_of_file(
    name: str, form: str, maps: Mapping[ByteMap, str], tensors: Iterable[StoredTensor]
) -> FileSizes:
    """Of a model in mapped files; the value of each is what its bytes are that nobody claimed."""
    found = tuple(tensors)  # which claims bytes, before the rest is counted
    parts: Counter[PartKey] = Counter()
    for one, rest in maps.items():
        parts.update(one.parts(rest))
    ordered = sorted(
        parts.items(), key=lambda part: (PART_KINDS.index(part[0].kind), -part[1], part[0].dtype)
    )
    files = {str(one.file.path): one.file.size for one in maps}
    return FileSizes(name, form, files, dict(ordered), found)
