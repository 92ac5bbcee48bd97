"""Where to measure before there is anything to learn from: spread over costs and choices."""

from __future__ import annotations

from collections.abc import Container

import numpy as np
import numpy.typing as npt

from search.feasible.neighbours import distinct
from search.feasible.region import Region
from search.problem.problem import Problem
from supernet.archs.arch import PRECISION
from supernet.archs.space import Codes, SearchSpace
from supernet.arrays import Floats

DRAWN_FIRST = 256


def skewed(space: SearchSpace, n: int, rng: np.random.Generator) -> Codes:
    """n archs from nearly smallest to nearly largest, shape (n, dimensions).

    Uniform choices would all cost about the same, by the law of large numbers.
    """
    power = np.exp(rng.uniform(-1.5, 1.5, (n, 1)))
    return space.canonical((rng.random((n, len(space.sizes))) ** power * space.sizes).astype(np.int16))


def spread(
    region: Region, known: Codes, strata: int, seen: Container[bytes], rng: np.random.Generator
) -> Codes:
    """One more arch to measure beside ``known`` (n, dimensions); shape (1 or 0, dimensions).

    It lies in the stratum that has fewest known archs, and there differs most from the known ones.
    Strata are of log cost where a cost is minimised. Else the best is near the budgets, and so are
    all that are looked at: strata are those of :func:`apart`.
    """
    problem = region.problem
    pool = distinct(region.repair(skewed(region.space, DRAWN_FIRST, rng), rng), seen)
    if not len(pool):
        return pool
    if problem.cost_objectives:
        logs = log_costs(problem, np.concatenate([pool, known]))
        edges = np.linspace(logs[: len(pool)].min(), logs[: len(pool)].max(), strata + 1)[1:-1]
        stratum = np.searchsorted(edges, logs)
    else:
        pool = pool[near_budgets(problem, pool)]
        stratum = apart(problem.space, np.concatenate([pool, known]))
    crowd = np.bincount(stratum[len(pool) :], minlength=int(stratum.max()) + 1)
    options = np.unique(stratum[: len(pool)])
    chosen = rng.permutation(options[crowd[options] == crowd[options].min()])[0]
    pool = pool[stratum[: len(pool)] == chosen]
    if not len(known):
        return np.asarray(pool[:1])
    differences = (pool[:, None] != known[None]).mean(axis=2).min(axis=1)
    return np.asarray(pool[[differences.argmax()]])


def apart(space: SearchSpace, codes: Codes) -> npt.NDArray[np.intp]:
    """A number for each resolution, at each precision: their effect on cost hides that of all else; shape (n,)."""
    found = np.zeros(len(codes), dtype=np.intp)
    for column in (space.index[name] for name in ("resolution", PRECISION) if name in space.index):
        found = np.asarray(found * space.sizes[column] + codes[:, column], dtype=np.intp)
    return found


def near_budgets(problem: Problem, codes: Codes) -> npt.NDArray[np.bool_]:
    """Which archs use most of a budget that they come near to, shape (n,): the upper third of each of :func:`apart`."""
    shares = (problem.totals(codes) / problem.limits).max(axis=1, initial=0)
    groups = apart(problem.space, codes)
    chosen = np.zeros(len(codes), dtype=np.bool_)
    for group in np.unique(groups):
        mine = np.flatnonzero(groups == group)
        chosen[mine[shares[mine] >= np.quantile(shares[mine], 2 / 3)]] = True
    return chosen


def log_costs(problem: Problem, codes: Codes) -> Floats:
    """Logarithm of the first cost that is minimised, shape (n,)."""
    costs = problem.totals(codes)[:, problem.cost_objectives[0]]
    return np.asarray(np.log(np.maximum(costs, np.finfo(np.float64).tiny)))
