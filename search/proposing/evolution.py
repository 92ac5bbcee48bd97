"""Evolution on integer codes within the budgets, then a climb through one-change neighbourhoods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from search.feasible.region import Region, distinct, keys, neighbours
from supernet.arrays import Floats
from supernet.space import Codes

Score = Callable[[Codes], Floats]
"""Codes (n, dimensions) -> how good they are, shape (n,); more is better."""


@dataclass(frozen=True)
class Effort:
    """How long to search: the work is bounded by these numbers whatever the budgets."""

    population: int = 64
    generations: int = 10
    children: int = 96
    climbers: int = 2
    climbs: int = 4


def evolve(
    score: Score, region: Region, start: Codes, rng: np.random.Generator, effort: Effort | None = None
) -> tuple[Codes, Floats]:
    """Distinct archs within the budgets and their scores, the best first; begins at ``start`` (n, dimensions)."""
    effort = effort or Effort()
    codes = distinct(region.repair(start, rng))
    scores = score(codes)
    for _ in range(effort.generations):
        codes, scores = best_first(codes, scores, effort.population)
        codes, scores = join(codes, scores, region.repair(offspring(codes, region, effort, rng), rng), score)
    for _ in range(effort.climbs):
        codes, scores = best_first(codes, scores)
        leaders = codes[: effort.climbers]
        around = region.pin(neighbours(region.space, leaders))
        around = around[region.problem.within(around)]
        codes, scores = join(codes, scores, around, score)
        if scores.max() <= scores[0]:
            break
    return best_first(codes, scores)


def offspring(codes: Codes, region: Region, effort: Effort, rng: np.random.Generator) -> Codes:
    """Children of ``codes``, which stand best first: two parents mixed, then about two choices changed."""
    n, sizes = effort.children, region.space.sizes
    rank = (len(codes) * rng.random((2, n)) ** 2).astype(np.intp)
    mixed = np.where(rng.random((n, len(sizes))) < 0.5, codes[rank[0]], codes[rank[1]])
    change = rng.random(mixed.shape) < rng.uniform(0.5, 3.5, (n, 1)) / len(sizes)
    drawn = (rng.random(mixed.shape) * sizes).astype(np.int16)
    return np.asarray(np.where(change, drawn, mixed), dtype=np.int16)


def children_of(parents: Codes, count: int, sizes: Codes, rng: np.random.Generator) -> Codes:
    """Children, shape (count, dimensions): half are two parents mixed, all have one to six choices drawn anew."""
    n, columns = parents.shape
    first, second = rng.integers(n, size=(2, count))
    second = np.where(rng.random(count) < 0.5, first, second)
    mixed = rng.integers(2, size=(count, columns), dtype=np.uint8).astype(np.bool_)
    children = np.where(mixed, parents[first], parents[second])
    places = rng.integers(columns, size=(count, max(CHANGES)))
    drawn = (rng.random(places.shape) * sizes[places]).astype(np.int16)
    row, column = np.nonzero(np.arange(max(CHANGES)) < rng.choice(CHANGES, (count, 1)))
    children[row, places[row, column]] = drawn[row, column]
    return np.asarray(children, dtype=np.int16)


CHANGES = (1, 2, 3, 4, 6)
"""How many choices of a child are drawn anew, each as likely."""


def join(codes: Codes, scores: Floats, more: Codes, score: Score) -> tuple[Codes, Floats]:
    """Those of ``more`` that are new, scored, behind what was there."""
    more = distinct(more, set(keys(codes)))
    if not len(more):
        return codes, scores
    return np.concatenate([codes, more]), np.concatenate([scores, score(more)])


def best_first(codes: Codes, scores: Floats, most: int | None = None) -> tuple[Codes, Floats]:
    """Sorted by score, equal ones in the order they came."""
    order = np.argsort(-scores, kind="stable")[:most]
    return codes[order], scores[order]
