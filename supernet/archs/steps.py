"""Steps up the choices of a space: what an arch has at least, for whatever learns from archs.

Choices ascend, so that "this one or a greater one" tells more of each than "this one".
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from supernet.archs.space import Codes, SearchSpace
from supernet.arrays import Floats

Groups = tuple[tuple[int, ...], ...]
"""Places that belong together, one tuple a group."""


@dataclass(frozen=True)
class Steps:
    """An arch takes a step where its dimension counts and has the step's code or a greater one.

    ``dimensions`` (steps,) are columns of codes, ``codes`` (steps,) the least code.
    """

    dimensions: npt.NDArray[np.intp]
    codes: Codes

    def taken(self, codes: Codes) -> npt.NDArray[np.bool_]:
        """By codes (n, dimensions), negative where a dimension does not count; shape (n, steps)."""
        return np.asarray(codes[:, self.dimensions] >= self.codes)


@lru_cache(maxsize=16)
def steps_of(space: SearchSpace) -> Steps:
    """All that some archs take and others do not: from the second choice on, from the first of what can be skipped."""
    pairs = [
        (i, code)
        for i, d in enumerate(space.dimensions)
        for code in range(0 if d.needs else 1, len(d.choices))
    ]
    dimensions, codes = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
    return Steps(dimensions, codes.astype(np.int16))


def skipped_as_negative(space: SearchSpace, codes: Codes) -> Codes:
    """Codes with -1 where a dimension does not count."""
    return np.where(space.active(codes), codes, np.int16(-1))


def grouped_places(keys: Iterable[Hashable]) -> Groups:
    """Places of equal keys together, in the order in which they first appear."""
    members: dict[Hashable, list[int]] = {}
    for i, key in enumerate(keys):
        members.setdefault(key, []).append(i)
    return tuple(tuple(found) for found in members.values())


def summing(groups: Sequence[Sequence[int]], count: int) -> Floats:
    """Sums of each group of ``count`` steps, as a matrix (groups, count); n independent steps then vary like one."""
    matrix = np.zeros((len(groups), count))
    for row, members in zip(matrix, groups, strict=True):
        row[list(members)] = len(members) ** -0.5
    return matrix
