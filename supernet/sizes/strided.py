"""The elements of a tensor that is a view of a storage."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from supernet.sizes.stored_tensor import BITS


def is_contiguous(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether its elements lie one after another, row-major."""
    expected = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True


def gathered(
    span: memoryview, dtype: str, shape: tuple[int, ...], strides: tuple[int, ...]
) -> Iterable[memoryview | bytes]:
    """Its bytes row-major. Of an expanded one, which has fewer elements than its shape says, those that there are."""
    wide = BITS[dtype] // 8
    if not wide or is_contiguous(shape, strides) or math.prod(shape) * wide > len(span):
        return (span,)
    whole = np.frombuffer(span, np.uint8)
    steps = (stride * wide if size > 1 else 0 for size, stride in zip(shape, strides, strict=True))
    view = np.lib.stride_tricks.as_strided(whole, (*shape, wide), (*steps, 1), writeable=False)
    return (view.tobytes(),)
