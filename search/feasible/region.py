"""The archs within the budgets: how to get into them and how to walk in them, with bounded effort.

Notation, for ``n`` archs and ``d`` dimensions:

===============  =========  ===========================================================================
``codes``        (n, d)     archs; what :meth:`Region.repair` returns is within the budgets
``anchor``       (1, d)     an arch within the budgets, of which all repairs take choices
``order``        (n, d)     of each arch, in which random order its choices are replaced
``low, high``    (n,)       between how many of them have to be, by what was tried so far
``excess``       (n,)       sum over budgets of (cost - limit) / limit where that is above 0
===============  =========  ===========================================================================
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from search.feasible.certificate import certify, nearest_of
from search.feasible.neighbours import descend, distinct, keys, neighbours
from search.problem.problem import Problem
from supernet.archs.space import Codes, SearchSpace
from supernet.arrays import Floats

WALK_STEP = 20
WALK_LIMIT = 20_000
"""Archs that :meth:`Region.fresh` looks at before it calls the region exhausted."""


@dataclass(frozen=True)
class Region:
    """A problem's archs within its budgets; ``fixed`` maps columns to codes that must stay."""

    problem: Problem
    fixed: Mapping[int, int] = field(default_factory=dict)

    @property
    def space(self) -> SearchSpace:
        return self.problem.space

    def pin(self, codes: Codes) -> Codes:
        """The same archs, canonical, with the fixed choices as they must be."""
        codes = codes.copy()
        for column, code in self.fixed.items():
            codes[:, column] = code
        return self.space.canonical(codes)

    def excess(self, codes: Codes) -> Floats:
        """Sum of relative excesses over the budgets, shape (n,); 0 within all of them."""
        # relative to each limit, since milliseconds and bytes have no common unit
        limits = self.problem.limits
        over = np.maximum(self.problem.totals(codes) - limits, 0)
        return np.asarray((over / np.maximum(np.abs(limits), np.finfo(np.float64).tiny)).sum(axis=1))

    @cached_property
    def anchor(self) -> Codes:
        """An arch within the budgets, shape (1, dimensions); the nearest to them that was found if none is."""
        space, problem = self.space, self.problem

        def from_best_of(starts: Codes) -> tuple[Codes, float]:
            around = lambda here: self.pin(neighbours(space, here))  # noqa: E731
            return descend(self.pin(starts), self.excess, around, enough=0.0)

        # nearly always the smallest arch, or the one of least cost, is within; what searches exactly comes after them
        ends = [space.smallest(), *(problem.reach[name].smallest for name in problem.budgets)]
        found, excess = from_best_of(space.encode(ends))
        if excess > 0:
            found, excess = from_best_of(np.concatenate([found, certify(problem).visited]))
        if excess > 0 and not nearest_of(problem).infeasible:
            found, _ = from_best_of(np.concatenate([found, nearest_of(problem).codes]))
        return found

    def repair(self, codes: Codes, rng: np.random.Generator) -> Codes:
        """Archs within the budgets near ``codes``; those that are within stay as they are.

        As few randomly ordered choices as bisection finds are replaced by the anchor's.
        """
        codes = self.pin(codes)
        broken = np.flatnonzero(~self.problem.within(codes))
        if not len(broken):
            return codes
        given = codes[broken]
        # an order of its own for each arch: the same choices replaced everywhere would make all repaired archs alike
        order = rng.random(given.shape).argsort(axis=1)
        low = np.zeros(len(broken), dtype=np.intp)
        high = np.full(len(broken), given.shape[1], dtype=np.intp)
        # with all choices replaced it is the anchor, which is within if anything is
        best = np.repeat(self.anchor, len(broken), axis=0)
        for _ in range(int(given.shape[1]).bit_length()):
            middle = (low + high) // 2
            # a cost may rise where a choice becomes the anchor's, so that the fewest are not always found; what is found is
            # within, as it was looked at
            trial = self.space.canonical(np.where(order < middle[:, None], self.anchor, given))
            within = self.problem.within(trial)
            best[within] = trial[within]
            high = np.where(within, middle, high)
            low = np.where(within, low, np.minimum(middle + 1, high))
        codes[broken] = best
        return codes

    def fresh(self, seen: Container[bytes]) -> Codes:
        """Archs of the region not in ``seen``, by one-change steps from the anchor; none if exhausted."""
        queue, visited = self.anchor[self.problem.within(self.anchor)], set(keys(self.anchor))
        while len(queue) and len(visited) < WALK_LIMIT:
            new = distinct(queue, seen)
            if len(new):
                return new
            # a few archs at a time: the first that are new end the walk, which the whole queue would only delay
            around = distinct(self.pin(neighbours(self.space, queue[:WALK_STEP])), visited)
            visited.update(keys(around))
            queue = np.concatenate([queue[WALK_STEP:], around[self.problem.within(around)]])
        return self.anchor[:0]
