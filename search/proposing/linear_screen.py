"""A guess of what is good among many archs, from those that were judged: a linear model, made in a millisecond.

It is wrong in detail and right on the whole, which is enough to leave out most children of an
evolution before they are judged.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from supernet.archs.space import Codes, SearchSpace
from supernet.archs.steps import skipped_as_negative, steps_of
from supernet.arrays import Floats

GUESS_RIDGE = 1.0
"""Keeps the weights of choices that few archs have small."""


def inputs_of_guess(space: SearchSpace, codes: Codes) -> npt.NDArray[np.float32]:
    """Shape (n, steps): 1 where a choice is at least that one, and where a block is there at all."""
    return steps_of(space).taken(skipped_as_negative(space, codes)).astype(np.float32)


def linear_guess(space: SearchSpace, codes: Codes, good: Floats) -> Callable[[Codes], Floats]:
    """Ridge regression (Hoerl & Kennard, 1970) of how good archs are on their choices, shape (n,)."""
    rows = inputs_of_guess(space, codes)
    middle, level = rows.mean(axis=0), float(good.mean())
    rows -= middle
    normal = rows.T @ rows
    normal[np.diag_indices(len(normal))] += GUESS_RIDGE
    weights = np.linalg.solve(normal, rows.T @ (good - level).astype(np.float32))

    def guess(others: Codes) -> Floats:
        return np.asarray(level + (inputs_of_guess(space, others) - middle) @ weights, dtype=np.float64)

    return guess
