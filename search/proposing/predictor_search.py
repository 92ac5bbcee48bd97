"""Search where accuracy costs little to know: evolution on a predictor, whole populations at once.

There is nothing to learn from few archs then, so there is no surrogate. Costs that are
minimised are cut into levels; each level keeps the most accurate archs that cost no more
(elites, as in MAP-Elites, Mouret & Clune, 2015), and children of all elites compete for all
levels. Many more children are made than are predicted: a linear guess from what is known
chooses (:mod:`search.proposing.linear_screen`). At the end the best are climbed (:mod:`search.proposing.hill_climbing`).

Within a budget, where the predictor knows its slopes, waves of annealing that follow them take the place of
the elites (:mod:`search.proposing.waves`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from search.feasible.neighbours import distinct, keys, neighbours
from search.feasible.region import Region
from search.problem.problem import Problem
from search.proposing.acquisition import front, reached
from search.proposing.annealing import Slope
from search.proposing.evolution import children_of
from search.proposing.first_archs import skewed
from search.proposing.hill_climbing import climb
from search.proposing.linear_screen import linear_guess
from search.proposing.waves import Sea, Tides, search_in_waves
from supernet.archs.space import Codes
from supernet.arrays import Floats, SlopesOf

Predict = Callable[[Codes], Floats]
"""Codes (n, dimensions) -> predicted accuracy, shape (n,)."""

Niches = npt.NDArray[np.bool_]
"""Which archs compete with each other, shape (niches, n): one row of archs a niche; an arch may be in several."""

LEVELS = {0: 1, 1: 40, 2: 9}
"""Levels of each cost, by the number of costs that are minimised."""

LEARNT = 1024
"""Archs that a guess is learnt from, the best of each niche."""

CLIMBERS_APART = 4
"""Choices in which the archs that are climbed differ at least."""


@dataclass(frozen=True)
class Effort:
    """How long to search: the work is bounded by these numbers whatever the budgets.

    ``drawn`` children are made for each one that is predicted; ``sheltered`` is the share of the
    generations in which archs compete with those of their own resolution only, half of them.
    ``tides`` says the same of waves of annealing.
    """

    start: int = 1024
    generations: int = 40
    children: int = 256
    drawn: int = 4
    elites: int = 128
    sheltered: float = 0.5
    climbers: int = 16
    climbs: int = 8
    tides: Tides = field(default_factory=Tides)


@dataclass(frozen=True)
class FoundArchs:
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


@dataclass
class Memory:
    """A predictor that is asked about each arch once."""

    predict: Predict
    known: dict[bytes, float] = field(default_factory=dict)

    def __call__(self, codes: Codes) -> Floats:
        """Accuracies of canonical codes (n, dimensions), shape (n,)."""
        names = keys(codes)
        new = list({name: i for i, name in enumerate(names) if name not in self.known}.values())
        if new:
            self.known.update(zip([names[i] for i in new], self.predict(codes[new]).tolist(), strict=True))
        return np.array([self.known[name] for name in names], dtype=np.float64)

    @property
    def codes(self) -> Codes:
        """All that was asked about, shape (n, dimensions)."""
        rows = np.frombuffer(b"".join(self.known), dtype=np.int16)
        return rows.reshape(len(self.known), -1)


def search_directly(
    problem: Problem,
    predict: Predict,
    count: int,
    seed: int,
    effort: Effort | None = None,
    slope: Slope | None = None,
) -> FoundArchs:
    """The ``count`` best distinct archs within the budgets: the front first, then what is next to it.

    ``slope``, where the predictor knows its slopes, is asked where nothing but the accuracy is an objective.
    On one thread: matrices of a few hundred rows are multiplied five times as fast without
    threads that wait for each other.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):
        if slope is not None and not problem.cost_objectives:
            return cool(problem, predict, slope, count, seed, effort or Effort())
        return evolve_by_levels(problem, predict, count, seed, effort or Effort())


def cool(
    problem: Problem, predict: Predict, slope: Slope, count: int, seed: int, effort: Effort
) -> FoundArchs:
    """The most accurate within the budgets, by waves of annealing, and what is next to them."""
    accuracy = Memory(predict)

    def remembered(codes: Codes) -> tuple[Floats, SlopesOf]:
        good, slopes_of = slope(codes)
        accuracy.known.update(zip(keys(codes), good.tolist(), strict=True))
        return good, slopes_of

    rng = np.random.default_rng(seed)
    search_in_waves(Sea(Region(problem), accuracy, accuracy.known, remembered, effort.tides, rng))
    if not accuracy.known:
        return FoundArchs(problem.space.encode([]), 0)
    pool = Pool(accuracy.codes, np.array(list(accuracy.known.values())), np.empty((len(accuracy.known), 0)))
    pool = pool[problem.within(pool.codes)]
    around = within(problem, distinct(neighbours(problem.space, ranked(pool, count)), accuracy.known))
    pool += Pool(around, accuracy(around), np.empty((len(around), 0)))
    return FoundArchs(ranked(pool, count), len(accuracy.known))


def evolve_by_levels(problem: Problem, predict: Predict, count: int, seed: int, effort: Effort) -> FoundArchs:
    rng = np.random.default_rng(seed)
    region, space, accuracy = Region(problem), problem.space, Memory(predict)
    levels = cost_levels(problem)

    def judged(codes: Codes) -> Pool:
        return Pool(codes, accuracy(codes), problem.totals(codes)[:, list(problem.cost_objectives)])

    corners = space.encode([space.smallest(), space.largest()])
    first = region.repair(np.concatenate([corners, skewed(space, effort.start, rng)]), rng)
    pool = judged(distinct(within(problem, first)))
    if not len(pool.codes):
        return FoundArchs(pool.codes, 0)
    for generation in range(effort.generations):
        sheltered = generation < effort.sheltered * effort.generations
        niches = niches_of(pool.codes, pool.costs, problem, levels, sheltered)
        pool, niches = thinned(pool, niches, LEARNT)
        parents = pool.codes[elites(pool.accuracy, niches, keep=parents_of_each(len(niches), effort.elites))]
        children = children_of(parents, effort.drawn * effort.children, space.sizes, rng)
        children = distinct(region.repair(children, rng), accuracy.known)
        costs = problem.totals(children)[:, list(problem.cost_objectives)]
        guess = linear_guess(space, pool.codes, pool.accuracy)
        gains = guess(children) - reached(pool.accuracy, pool.costs, costs)
        niches = niches_of(children, costs, problem, levels, sheltered)
        pool += judged(children[elites(gains, niches, keep=-(-effort.children // len(niches)))])
    climbers, limits = starts(pool, problem, levels, effort.climbers)
    climb(problem, climbers, limits, accuracy, effort.climbs)
    pool = judged(within(problem, accuracy.codes))
    around = distinct(neighbours(space, ranked(pool, max(count, len(levels)))), accuracy.known)
    pool += judged(within(problem, around))
    return FoundArchs(ranked(pool, count), len(accuracy.known))


def within(problem: Problem, codes: Codes) -> Codes:
    return codes[problem.within(codes)]


def cost_levels(problem: Problem) -> Floats:
    """Upper bounds of the minimised costs, shape (levels, k), evenly spaced in their logarithms."""
    tops = problem.ceilings
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


def niches_of(codes: Codes, costs: Floats, problem: Problem, levels: Floats, sheltered: bool) -> Niches:
    """All within each level of the minimised costs; of a single level, all, and where they are sheltered
    those of each resolution too, so that one whose archs take long to become good is not given up at once."""
    if len(levels) > 1:
        return np.asarray((costs[None] <= levels[:, None]).all(axis=2))
    everything = np.ones((1, len(codes)), dtype=np.bool_)
    resolution = problem.space.index.get("resolution")
    if not sheltered or resolution is None or problem.space.sizes[resolution] == 1:
        return everything
    alike = codes[:, resolution] == np.arange(problem.space.sizes[resolution])[:, None]
    return np.concatenate([everything, alike])


def parents_of_each(niches: int, elites: int) -> int:
    return elites if niches == 1 else max(2, 4 * elites // niches)


def thinned(pool: Pool, niches: Niches, count: int) -> tuple[Pool, Niches]:
    """About the ``count`` best, the same number of each niche."""
    rows = elites(pool.accuracy, niches, keep=max(2, count // len(niches)))
    return pool[rows], niches[:, rows]


def elites(good: Floats, niches: Niches, keep: int) -> npt.NDArray[np.intp]:
    """Rows of the ``keep`` best of each niche, without repeats."""
    order = np.argsort(-good, kind="stable")
    chosen = np.zeros(len(order), dtype=np.bool_)
    for niche in niches:
        chosen[order[niche[order]][:keep]] = True
    return np.flatnonzero(chosen)


def starts(pool: Pool, problem: Problem, levels: Floats, count: int) -> tuple[Codes, Floats]:
    """Archs to climb from and the limits of their costs: the best of each level; of a single level, ``count``
    of the best that differ, and the best of each resolution."""
    limits = np.repeat(problem.limits[None], max(len(levels), 1), axis=0)
    niches = niches_of(pool.codes, pool.costs, problem, levels, sheltered=True)
    best = [elites(pool.accuracy, niche[None], keep=1) for niche in niches]
    if len(levels) > 1:
        limits[:, list(problem.cost_objectives)] = np.minimum(
            levels, limits[:, list(problem.cost_objectives)]
        )
        found = [i for i, rows in enumerate(best) if len(rows)]
        return pool.codes[np.concatenate([best[i] for i in found])], limits[found]
    chosen = list(dict.fromkeys(np.concatenate(best).tolist()))
    for row in np.argsort(-pool.accuracy, kind="stable"):
        if len(chosen) >= count:
            break
        if (pool.codes[chosen] != pool.codes[row]).sum(axis=1).min() >= CLIMBERS_APART:
            chosen.append(int(row))
    return pool.codes[chosen], np.repeat(limits, len(chosen), axis=0)


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
