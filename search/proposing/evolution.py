"""Evolution on integer codes within the budgets, then a climb through one-change neighbourhoods.

Notation, for ``n`` parents, ``c`` children and ``d`` dimensions:

==========  =======  =============================================================================
``codes``   (n, d)   archs, the best first; ``scores`` (n,) say how good they are, more is better
``sizes``   (d,)     choices of each dimension
``rank``    (2, c)   places of each child's two parents among ``codes``
``mixed``   (c, d)   of each choice, from which of the two it is taken; then the child itself
``change``  (c, d)   which choices are drawn anew; ``drawn`` are these, any of a dimension alike
==========  =======  =============================================================================

Both kinds of children are those of a genetic algorithm with uniform crossover (Syswerda, 1989). What is drawn anew may
be what was there, so that an arch changes a little less than the figures below say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search.feasible.neighbours import Score, ascend, best_first, distinct, join, neighbours
from search.feasible.region import Region
from supernet.archs.space import Codes
from supernet.arrays import Floats


@dataclass(frozen=True)
class InnerEffort:
    """How long to search: the work is bounded by these numbers whatever the budgets."""

    population: int = 64
    generations: int = 10
    children: int = 96
    climbers: int = 2
    climbs: int = 4


def evolve(
    score: Score, region: Region, start: Codes, rng: np.random.Generator, effort: InnerEffort | None = None
) -> tuple[Codes, Floats]:
    """Distinct archs within the budgets and their scores, the best first; begins at ``start`` (n, dimensions)."""
    effort = effort or InnerEffort()
    codes = distinct(region.repair(start, rng))
    scores = score(codes)
    for _ in range(effort.generations):
        # children are repaired before they are scored: a penalty for what breaks a budget would need a weight
        codes, scores = best_first(codes, scores, effort.population)
        codes, scores = join(codes, scores, region.repair(offspring(codes, region, effort, rng), rng), score)

    def around(leaders: Codes) -> Codes:
        # a climb takes one change at a time, and repairing its neighbours would change more
        near = region.pin(neighbours(region.space, leaders))
        return near[region.problem.within(near)]

    return ascend(codes, scores, score, around, effort.climbs, effort.climbers)


def offspring(codes: Codes, region: Region, effort: InnerEffort, rng: np.random.Generator) -> Codes:
    """Children of ``codes``, which stand best first: two parents mixed, then about two choices changed."""
    n, sizes = effort.children, region.space.sizes
    # squared, so that half of all parents are of the best quarter
    rank = (len(codes) * rng.random((2, n)) ** 2).astype(np.intp)
    mixed = np.where(rng.random((n, len(sizes))) < 0.5, codes[rank[0]], codes[rank[1]])
    # a rate for each child: some stay near their parents, others leave a neighbourhood that is searched already
    change = rng.random(mixed.shape) < rng.uniform(0.5, 3.5, (n, 1)) / len(sizes)
    drawn = (rng.random(mixed.shape) * sizes).astype(np.int16)
    return np.asarray(np.where(change, drawn, mixed), dtype=np.int16)


def children_of(parents: Codes, count: int, sizes: Codes, rng: np.random.Generator) -> Codes:
    """Children, shape (count, dimensions): half are two parents mixed, all have one to six choices drawn anew."""
    n, columns = parents.shape
    first, second = rng.integers(n, size=(2, count))
    # an arch mixed with itself stays what it is, so that these children are a parent and its changes alone
    second = np.where(rng.random(count) < 0.5, first, second)
    mixed = rng.integers(2, size=(count, columns), dtype=np.uint8).astype(np.bool_)
    children = np.where(mixed, parents[first], parents[second])
    # drawn for the most changes that a child may have, of which it takes as many as it has: no loop over children
    places = rng.integers(columns, size=(count, max(CHANGES)))
    drawn = (rng.random(places.shape) * sizes[places]).astype(np.int16)
    row, column = np.nonzero(np.arange(max(CHANGES)) < rng.choice(CHANGES, (count, 1)))
    children[row, places[row, column]] = drawn[row, column]
    return np.asarray(children, dtype=np.int16)


CHANGES = (1, 2, 3, 4, 6)
"""How many choices of a child are drawn anew, each as likely."""
