"""Tensors as files hold them: a name, a shape, and bytes that are read only where they are asked for."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from supernet.errors import InputError, short
from supernet.sizes.byte_map import OPTIMIZER, REPEATED, WEIGHT_BYTES, ByteMap

BITS: Mapping[str, int] = {
    "float64": 64, "float32": 32, "float16": 16, "bfloat16": 16, "complex64": 64, "complex128": 128, "complex32": 32,
    "int64": 64, "int32": 32, "int16": 16, "int8": 8, "int4": 4, "int2": 2, "int1": 1,
    "uint64": 64, "uint32": 32, "uint16": 16, "uint8": 8, "uint4": 4, "uint2": 2, "uint1": 1, "bool": 8,
    "float8_e4m3fn": 8, "float8_e4m3fnuz": 8, "float8_e5m2": 8, "float8_e5m2fnuz": 8, "float8_e8m0fnu": 8,
    "float4_e2m1": 4, "float4_e2m1fn_x2": 8, "bits8": 8, "bits16": 16, "qint8": 8, "quint8": 8, "qint32": 32, "nf4": 4,
}  # fmt: skip
"""Bits of an element."""
UNKNOWN_DTYPE = "unknown"
"""The dtype of what a file does not tell."""
IN_NUMPY = (
    "float64",
    "float32",
    "float16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
)
AS_INTEGERS = {"qint8": "int8", "quint8": "uint8", "qint32": "int32"}
MOST_SIDES = 60
"""NumPy has 64."""
FLOATS = ("float64", "float32", "float16", "bfloat16")

Read = Callable[[], Iterable[memoryview | bytes]]
"""The bytes of a tensor, row-major and little-endian, in pieces."""


def in_one_piece(data: memoryview) -> Read:
    """Bytes that lie in one piece."""
    return lambda: (data,)


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file. ``content`` is a hash of its bytes, ``stored_bytes`` what it takes that no tensor before it does.

    ``same_as`` is the first tensor with the same dtype and bytes; ``is_shared`` where both are the same bytes of the file.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    read: Read = field(repr=False, compare=False)
    of_optimizer: bool = False
    content: str = ""
    stored_bytes: int = 0
    same_as: str | None = None
    is_shared: bool = False

    @property
    def elements(self) -> int:
        """Raises InputError for more sides than a tensor can have."""
        if len(self.shape) > MOST_SIDES:
            raise InputError(
                f"the tensor {short(self.name)} has {len(self.shape):,} sides; at most {MOST_SIDES} are possible"
            )
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Of its elements, whether the file has them all or not."""
        return bytes_of(self.dtype, self.elements)

    @property
    def key(self) -> tuple[str, str]:
        """What tensors with the same elements share."""
        return self.dtype, self.content

    def array(self) -> np.ndarray[Any, Any] | None:
        """Its elements in its shape; None where NumPy has no such dtype, or the file not as many."""
        dtype = AS_INTEGERS.get(self.dtype, self.dtype)
        data = b"".join(self.read()) if dtype in (*IN_NUMPY, "bfloat16") else b""
        if not data or len(data) != self.bytes:
            return None
        if dtype == "bfloat16":
            wide = np.frombuffer(data, "<u2").astype(np.uint32) << 16
            return wide.view(np.float32).reshape(self.shape)
        return np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).reshape(self.shape)


def bytes_of(dtype: str, elements: int) -> int:
    return -(-elements * BITS.get(dtype, 0) // 8)


@dataclass(frozen=True)
class Placed:
    """A tensor, and the bytes of a file that are its: its own, or of a storage that it is a view of."""

    tensor: StoredTensor
    map: ByteMap
    start: int
    end: int


def claimed(placed: Iterable[Placed]) -> Iterator[StoredTensor]:
    """The tensors with what is known once all that came before is known; their bytes are claimed."""
    first: dict[tuple[str, str], str] = {}
    for one in placed:
        is_empty = one.tensor.elements == 0
        digest = hashlib.sha256()
        for piece in one.tensor.read():
            digest.update(piece)
        tensor = replace(one.tensor, content=digest.hexdigest())
        again = tensor.key in first and not is_empty
        before = first.setdefault(tensor.key, tensor.name)
        kind = OPTIMIZER if tensor.of_optimizer else REPEATED if again else WEIGHT_BYTES
        taken = one.map.claim(one.start, one.end, kind, tensor.dtype)
        yield replace(
            tensor,
            stored_bytes=taken,
            same_as=before if again else None,
            is_shared=again and not taken,
        )
