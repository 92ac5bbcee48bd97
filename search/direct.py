"""Search where accuracy costs nothing to know: evolution on a predictor, whole populations at once.

There is nothing to learn from few archs then, so there is no surrogate. Costs that are
minimised are cut into levels; each level keeps the most accurate archs that cost no more
(elites, as in MAP-Elites, Mouret & Clune, 2015), children of all elites compete for all
levels, and the best of each level is climbed through its one-change neighbourhoods.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search.design import skewed
from search.guided import ceilings
from search.improvement import front
from search.problem import Floats, Problem
from search.region import Region, distinct, keys, neighbours
from supernet.space import Codes

Predict = Callable[[Codes], Floats]
"""Codes (n, dimensions) -> predicted accuracy, shape (n,)."""

LEVELS = {0: 1, 1: 40, 2: 9}
"""Levels of each cost, by the number of costs that are minimised."""


@dataclass(frozen=True)
class Effort:
    """How long to search: the work is bounded by these numbers whatever the budgets."""

    start: int = 2048
    generations: int = 80
    children: int = 768
    elites: int = 256
    climbs: int = 40


@dataclass(frozen=True)
class Found:
    """The best archs, codes (n, dimensions), and how many were predicted to find them."""

    codes: Codes
    predictions: int


@dataclass(frozen=True)
class Pool:
    """Archs with their predicted accuracies (n,) and minimised costs (n, k)."""

    codes: Codes
    accuracy: Floats
    costs: Floats

    def __getitem__(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Pool:
        return Pool(self.codes[rows], self.accuracy[rows], self.costs[rows])

    def __add__(self, other: Pool) -> Pool:
        return Pool(
            np.concatenate([self.codes, other.codes]),
            np.concatenate([self.accuracy, other.accuracy]),
            np.concatenate([self.costs, other.costs]),
        )


def search_directly(
    problem: Problem, predict: Predict, count: int, seed: int, effort: Effort | None = None
) -> Found:
    """The ``count`` best distinct archs within the budgets: the front first, then what is next to it.

    On one thread: matrices of a few hundred rows are multiplied five times as fast without
    threads that wait for each other.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):
        return evolve(problem, predict, count, seed, effort or Effort())


def evolve(problem: Problem, predict: Predict, count: int, seed: int, effort: Effort) -> Found:
    rng = np.random.default_rng(seed)
    region, seen = Region(problem), set[bytes]()
    minimised = list(problem.cost_objectives)

    def judge(codes: Codes) -> Pool:
        codes = distinct(codes, seen)
        seen.update(keys(codes))
        return Pool(codes, predict(codes), problem.totals(codes)[:, minimised])

    def judge_within(codes: Codes) -> Pool:
        codes = region.pin(codes)
        return judge(codes[problem.within(codes)])

    space = problem.space
    corners = space.encode([space.smallest(), space.largest()])
    pool = judge(region.repair(np.concatenate([corners, skewed(space, effort.start, rng)]), rng))
    pool = pool[problem.within(pool.codes)]
    levels = cost_levels(problem, pool)
    keep = max(count, effort.elites) if len(levels) == 1 else max(2, 4 * effort.elites // len(levels))
    for _ in range(effort.generations):
        pool = pool[elites(pool, levels, keep)]
        children = region.repair(offspring(pool.codes, effort.children, space.sizes, rng), rng)
        pool += judge(children)
    for _ in range(effort.climbs):
        pool = pool[elites(pool, levels, keep)]
        around = neighbours(space, pool.codes[elites(pool, levels, 1)])
        new = judge_within(around)
        if not len(new.codes) and len(levels) == 1:  # no step leads further; two at once may
            new = judge_within(distinct(neighbours(space, around), seen))
        if not len(new.codes):
            break
        pool += new
    return Found(ranked(pool, count), len(seen))


def cost_levels(problem: Problem, pool: Pool) -> Floats:
    """Upper bounds of the minimised costs, shape (levels, k), evenly spaced in their logarithms."""
    tops = ceilings(problem)
    if not len(tops):
        return np.empty((1, 0))
    names = list(problem.costs)
    lows = [problem.reach[names[i]].minimum for i in problem.cost_objectives]
    count = LEVELS.get(len(tops), 5)
    # a step above the least, so that no level is empty
    steps = [
        low * (top / low) ** (np.arange(1, count + 1) / count) for low, top in zip(lows, tops, strict=True)
    ]
    return np.array(list(itertools.product(*steps)))


def elites(pool: Pool, levels: Floats, keep: int) -> npt.NDArray[np.intp]:
    """Rows of the ``keep`` most accurate archs of each level, without repeats."""
    order = np.argsort(-pool.accuracy, kind="stable")
    chosen = np.zeros(len(order), dtype=np.bool_)
    for level in levels:
        inside = order[(pool.costs[order] <= level).all(axis=1)]
        chosen[inside[:keep]] = True
    return np.flatnonzero(chosen)


def offspring(parents: Codes, count: int, sizes: Codes, rng: np.random.Generator) -> Codes:
    """Children, shape (count, dimensions): half are two parents mixed, all have a few choices changed."""
    n, columns = parents.shape
    first, second = parents[rng.integers(n, size=count)], parents[rng.integers(n, size=count)]
    share = np.where(rng.random((count, 1)) < 0.5, 0.0, 0.5)
    mixed = np.where(rng.random((count, columns)) < share, second, first)
    change = rng.random((count, columns)) < rng.choice([1.0, 2.0, 4.0], (count, 1)) / columns
    drawn = (rng.random((count, columns)) * sizes).astype(np.int16)
    return np.asarray(np.where(change, drawn, mixed), dtype=np.int16)


def ranked(pool: Pool, count: int) -> Codes:
    """The front of the pool, thinned evenly if it is longer than ``count``; then the most accurate of the rest."""
    members = front(pool.accuracy, pool.costs)
    members = members[np.argsort(-pool.accuracy[members], kind="stable")]
    if len(members) >= count:
        return np.asarray(
            pool.codes[members[np.linspace(0, len(members) - 1, count).round().astype(np.intp)]]
        )
    rest = np.setdiff1d(np.arange(len(pool.codes)), members)
    next_best = rest[np.argsort(-pool.accuracy[rest], kind="stable")]
    return np.asarray(pool.codes[np.concatenate([members, next_best[: count - len(members)]])])
