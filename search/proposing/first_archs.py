"""Where to measure before there is anything to learn from: spread over costs and choices."""

from __future__ import annotations

from collections.abc import Container

import numpy as np
import numpy.typing as npt

from search.feasible.neighbours import distinct
from search.feasible.region import Region
from search.problem.problem import Problem
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
    all that are looked at: strata are the resolutions, whose effect on cost hides that of all else.
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
        resolution = problem.space.index.get("resolution")
        both = np.concatenate([pool, known])
        stratum = both[:, resolution] if resolution is not None else np.zeros(len(both), dtype=np.intp)
    crowd = np.bincount(stratum[len(pool) :], minlength=int(stratum.max()) + 1)
    options = np.unique(stratum[: len(pool)])
    chosen = rng.permutation(options[crowd[options] == crowd[options].min()])[0]
    pool = pool[stratum[: len(pool)] == chosen]
    if not len(known):
        return np.asarray(pool[:1])
    differences = (pool[:, None] != known[None]).mean(axis=2).min(axis=1)
    return np.asarray(pool[[differences.argmax()]])


def near_budgets(problem: Problem, codes: Codes) -> npt.NDArray[np.bool_]:
    """Which archs use most of a budget that they come near to, shape (n,): of each resolution the upper third."""
    shares = (problem.totals(codes) / problem.limits).max(axis=1, initial=0)
    resolution = problem.space.index.get("resolution")
    groups = codes[:, resolution] if resolution is not None else np.zeros(len(codes), dtype=np.int16)
    chosen = np.zeros(len(codes), dtype=np.bool_)
    for group in np.unique(groups):
        mine = np.flatnonzero(groups == group)
        chosen[mine[shares[mine] >= np.quantile(shares[mine], 2 / 3)]] = True
    return chosen


def log_costs(problem: Problem, codes: Codes) -> Floats:
    """Logarithm of the first cost that is minimised, shape (n,)."""
    costs = problem.totals(codes)[:, problem.cost_objectives[0]]
    return np.asarray(np.log(np.maximum(costs, np.finfo(np.float64).tiny)))
