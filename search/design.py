"""Where to measure before there is anything to learn from: spread over costs and choices."""

from __future__ import annotations

from collections.abc import Container

import numpy as np

from search.problem import Floats, Problem
from search.region import Region, distinct
from supernet.space import Codes, SearchSpace

POOL = 256


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

    It lies in the stratum of log cost that has fewest known archs, and there
    differs most from the known ones.
    """
    pool = distinct(region.repair(skewed(region.space, POOL, rng), rng), seen)
    if not len(pool):
        return pool
    logs = np.log(np.maximum(strata_cost(region.problem, np.concatenate([pool, known])), 1e-300))
    edges = np.linspace(logs[: len(pool)].min(), logs[: len(pool)].max(), strata + 1)[1:-1]
    stratum = np.searchsorted(edges, logs)
    crowd = np.bincount(stratum[len(pool) :], minlength=strata)
    options = np.unique(stratum[: len(pool)])
    chosen = rng.permutation(options[crowd[options] == crowd[options].min()])[0]
    pool = pool[stratum[: len(pool)] == chosen]
    if not len(known):
        return np.asarray(pool[:1])
    differences = (pool[:, None] != known[None]).mean(axis=2).min(axis=1)
    return np.asarray(pool[[differences.argmax()]])


def strata_cost(problem: Problem, codes: Codes) -> Floats:
    """The first cost that is an objective, else the first with a budget, else 1 everywhere; shape (n,)."""
    if not problem.costs:
        return np.ones(len(codes))
    column = problem.cost_objectives[0] if problem.cost_objectives else 0
    return np.asarray(problem.totals(codes)[:, column])
