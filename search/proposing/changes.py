"""What every single change of an arch adds to its accuracy and its costs, for many archs at once.

Steps of several changes are put together from these tables: the sum of what each change adds is exact where they
do not meet in one layer, and nearly so elsewhere.

Notation, for ``n`` archs in a space whose dimensions have ``m`` choices together, and ``k`` costs:

===========  ==========  ===============================================================
``gains``    (n, m)      what each choice would add, minus infinity where it changes nothing
``costs``    (n, m, k)   what it would add to each cost; negative where it saves
===========  ==========  ===============================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from search.feasible.neighbours import Score, single_changes
from search.problem.problem import Problem
from supernet.archs.space import Codes, SearchSpace
from supernet.arrays import Floats, Slopes

Places = npt.NDArray[np.intp]


@dataclass(frozen=True)
class SingleChanges:
    """The choices of all dimensions in a row: ``dimensions`` (m,) and ``choices`` (m,)."""

    problem: Problem

    @property
    def space(self) -> SearchSpace:
        return self.problem.space

    @property
    def dimensions(self) -> Places:
        return self.space.every_choice[0]

    @property
    def choices(self) -> Codes:
        return self.space.every_choice[1]

    @cached_property
    def needed(self) -> Places:
        """Those of dimensions that others need, so that others come and go with them."""
        columns = {self.space.index[d.needs[0]] for d in self.space.dimensions if d.needs is not None}
        return np.flatnonzero(np.isin(self.dimensions, sorted(columns)))

    def made(self, codes: Codes, which: Places) -> Codes:
        """Canonical archs: ``codes`` (n, dimensions) with the changes ``which`` (n, several), m for none."""
        n, d = codes.shape
        rows = np.concatenate([codes, np.zeros((n, 1), dtype=np.int16)], axis=1)
        dimensions, choices = np.append(self.dimensions, d), np.append(self.choices, 0)
        for column in which.T:
            rows[np.arange(n), dimensions[column]] = choices[column]
        return self.space.canonical(rows[:, :d])

    def gains(self, slopes: Slopes, codes: Codes) -> Floats:
        """Of canonical codes (n, dimensions), to first order as their slopes tell."""
        counts = self.space.active(codes)
        own = np.take_along_axis(slopes, codes[:, :, None].astype(np.intp), axis=2)[:, :, 0]
        found = slopes[:, self.dimensions, self.choices] - own[:, self.dimensions]
        if len(self.needed):
            rows = np.repeat(codes[:, None], len(self.needed), axis=1)
            rows[:, np.arange(len(self.needed)), self.dimensions[self.needed]] = self.choices[self.needed]
            after = self.space.active(rows.reshape(-1, codes.shape[1])).reshape(rows.shape)
            # what does not count has code 0, and would come with it
            change = after.astype(np.float32) - counts[:, None]
            found[:, self.needed] += np.matmul(change, own[:, :, None])[:, :, 0]
        same = (codes[:, self.dimensions] == self.choices) | ~counts[:, self.dimensions]
        found[same] = -np.inf
        return found.astype(np.float64)

    def judged_gains(self, codes: Codes, good: Floats, judge: Score) -> Floats:
        """Of canonical codes (n, dimensions) that are so ``good`` (n,), as each change is judged."""
        rows, owner, dimensions, choices = single_changes(self.space, codes)
        first = np.cumsum(self.space.sizes) - self.space.sizes
        found = np.full((len(codes), len(self.choices)), -np.inf)
        found[owner, first[dimensions] + choices] = judge(rows) - good[owner]
        return found

    def costs(self, codes: Codes, totals: Floats) -> Floats:
        """Of codes (n, dimensions) with costs ``totals`` (n, k)."""
        return self.problem.changed_totals(codes) - totals[:, None]
