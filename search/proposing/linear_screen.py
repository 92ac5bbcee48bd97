"""A guess of what is good among many archs, from those that were judged: a linear model, made in a millisecond.

It is wrong in detail and right on the whole, which is enough to leave out most children of an
evolution before they are judged.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from supernet.arrays import Floats
from supernet.space import Codes, SearchSpace

RIDGE = 1.0
"""Keeps the weights of choices that few archs have small."""

Matrix = npt.NDArray[np.float32]


def steps(space: SearchSpace, codes: Codes) -> Matrix:
    """Shape (n, steps): 1 where a choice is at least that one, and where a block is there at all."""
    columns = np.repeat(np.arange(len(space.sizes)), space.sizes - 1)
    least = np.concatenate([np.arange(1, size, dtype=np.int16) for size in space.sizes])
    conditional = [i for i, d in enumerate(space.dimensions) if d.needs is not None]
    there = space.active(codes)[:, conditional]
    return np.concatenate([codes[:, columns] >= least, there], axis=1).astype(np.float32)


def linear_guess(space: SearchSpace, codes: Codes, good: Floats) -> Callable[[Codes], Floats]:
    """Ridge regression (Hoerl & Kennard, 1970) of how good archs are on their choices, shape (n,)."""
    rows = steps(space, codes)
    middle, level = rows.mean(axis=0), float(good.mean())
    rows -= middle
    normal = rows.T @ rows
    normal[np.diag_indices(len(normal))] += RIDGE
    weights = np.linalg.solve(normal, rows.T @ (good - level).astype(np.float32))

    def guess(others: Codes) -> Floats:
        return np.asarray(level + (steps(space, others) - middle) @ weights, dtype=np.float64)

    return guess
