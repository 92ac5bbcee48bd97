"""Whether two tensors have the same values in some order, or values that are near each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from supernet.sizes.stored_tensor import FLOATS, UNKNOWN_DTYPE, StoredTensor

Elements = np.ndarray[Any, Any]

LAYOUTS: dict[int, tuple[tuple[int, ...], ...]] = {
    2: ((0, 1), (1, 0)),
    4: (
        (0, 1, 2, 3),
        (0, 2, 3, 1),
        (2, 3, 1, 0),
        (1, 2, 3, 0),
        (2, 3, 0, 1),
        (0, 3, 1, 2),
        (3, 2, 0, 1),
        (3, 0, 1, 2),
    ),
}
"""Orders of axes: torch's (out, in, height, width), TensorFlow Lite's, TensorFlow's, and back."""
OF_FLOATS = 3e-3
"""What may be left of a tensor, by norm, when a factor for each channel is taken off; rounding leaves less."""
OF_INTEGERS = 0.3
"""The same for whole numbers: 8 bits leave about 0.01, 4 bits 0.2."""
FEWEST_ELEMENTS = 16
"""Elements; of fewer anything is near to anything."""
HASHED_AT_ONCE = 2**20


def values_key(one: StoredTensor, dtype: str | None = None) -> tuple[str, int, int] | None:
    """What tensors with the same values in any order share, after rounding to a dtype; None where there is no telling.

    A sum over a hash of each value: order does not matter, and other values give the same sum by chance only.
    """
    one = as_words(one)
    if one.elements < FEWEST_ELEMENTS or (
        dtype is not None and (dtype not in FLOATS or one.dtype not in FLOATS)
    ):
        return None
    values = one.array()
    if values is None:
        return None
    if dtype not in (None, one.dtype):
        if dtype == "bfloat16":
            return None
        with np.errstate(over="ignore"):
            values = values.astype(dtype)
    return dtype or one.dtype, one.elements, sum_of_hashes(values)


def as_words(one: StoredTensor) -> StoredTensor:
    """Bytes of an unknown dtype as what weights mostly are, and words of 32 bits are the same whatever they say."""
    if one.dtype != UNKNOWN_DTYPE or one.elements % 4:
        return one
    return replace(one, dtype="float32", shape=(one.elements // 4,))


def sum_of_hashes(values: Elements) -> int:
    bits = values.reshape(-1).view(f"<u{values.dtype.itemsize}")
    total = 0
    for start in range(0, bits.size, HASHED_AT_ONCE):
        mixed = (bits[start : start + HASHED_AT_ONCE].astype(np.uint64) + np.uint64(1)) * np.uint64(
            0x9E3779B97F4A7C15
        )
        mixed ^= mixed >> np.uint64(29)
        mixed *= np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(32)
        total += int(mixed.sum(dtype=np.uint64))
    return total % 2**64


def is_near(before: StoredTensor, after: StoredTensor) -> bool:
    """Whether one is the other times a factor for each channel, in one of the layouts, but for rounding."""
    if (
        before.elements < FEWEST_ELEMENTS
        or before.elements != after.elements
        or max(before.shape) == before.elements
    ):
        return False
    one, other = before.array(), after.array()
    if one is None or other is None:
        return False
    has_zero_point = not {before.dtype, after.dtype} <= set(FLOATS)
    allowed = OF_INTEGERS if has_zero_point else OF_FLOATS
    return any(
        left_over(a, b, has_zero_point) <= allowed
        for moved in arranged(one, other.shape)
        for a, b in by_channel(moved, other)
    )


def arranged(values: Elements, shape: tuple[int, ...]) -> Iterator[Elements]:
    """Elements in every layout that has the shape."""
    if values.ndim != len(shape):
        return
    for order in LAYOUTS.get(values.ndim, (tuple(range(values.ndim)),)):
        moved = values.transpose(order)
        if moved.shape == shape:
            yield moved


def by_channel(one: Elements, other: Elements) -> Iterator[tuple[Elements, Elements]]:
    """Both with a row a channel: the first axis, or the last."""
    for axis in (0, -1):
        rows = one.shape[axis]
        if 1 < rows < one.size:
            yield tuple(np.moveaxis(v, axis, 0).reshape(rows, -1).astype(np.float32) for v in (one, other))  # type: ignore[misc]


def left_over(one: Elements, other: Elements, has_zero_point: bool) -> float:
    """Of ``other`` without its part along ``one`` in each row, by norm; 1 where there is nothing of it."""
    if has_zero_point:
        one, other = (rows - rows.mean(axis=1, keepdims=True) for rows in (one, other))
    along = np.einsum("rc,rc->r", one, other) / np.maximum(np.einsum("rc,rc->r", one, one), 1e-30)
    whole = float(np.linalg.norm(other))
    return float(np.linalg.norm(other - along[:, None] * one)) / whole if whole else 1.0
