"""Validation accuracy, corrected for having been chosen by it.

The most accurate of many candidates is so by merit and by luck on the very images that it was chosen by, so
its accuracy on them is too high: the winner's curse. Here the images are split in two at random, the choice
is made on one half and judged on the other, then the other way round, so that each image judges what images
other than it have chosen. The mean over many such splits is the corrected accuracy. All candidates saw the same
images, so what the luck of the images does to all of them alike takes no part in a choice.

It knows of the choice between the candidates, not that a search was led to them by the same images. See
docs/decisions/017-winners-curse.md for how well it does beside other ways.

    h[k, i]   whether candidate k gets image i right; K candidates, n images
    A, B      a half of the images, drawn at random, and the other
    a, b      the candidate that is right most often on A, on B
    c         (sum of h[a, i] over B + sum of h[b, i] over A) / n, of one split
    mean(c)   the corrected accuracy
    var(c)    what the choice adds to the variance p (1 - p) / n of a share of n images
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search.problem.objectives import Objective
from search.runs.front import points
from search.runs.racing import Bits, packed_bits
from search.runs.study import Candidate
from supernet.arrays import Floats

RANDOM_SPLITS = 100
"""Random splits in two; with twice as many the corrected figure moves by less than 0.01 points."""
AT_ONCE = 1_000
"""Candidates whose hits are numbers at the same time, 20 MB for 5,000 images."""
Z = 1.959964
"""Standard deviations on either side of a normal mean that 95 in a hundred values lie within."""

Pools = npt.NDArray[np.bool_]
"""Which candidates each choice is between, shape (choices, candidates)."""


@dataclass(frozen=True)
class Corrected:
    """An accuracy on the validation split, corrected for having been chosen, as a fraction with its 95 % interval.

    ``among`` is the number of candidates that it was chosen from.
    """

    value: float
    low: float
    high: float
    among: int


def corrected_estimate(
    candidates: Sequence[Candidate],
    chosen: Candidate,
    members: Sequence[Candidate],
    objectives: Sequence[Objective],
    rng: np.random.Generator,
) -> dict[str, Corrected]:
    """By arch id, of the ``chosen`` candidate, and of ``members`` of a front in ``objectives``, accuracy first.

    ``chosen`` was preferred to all that are no more accurate, each member to those of them that cost no more either. Empty
    where it is not known of every candidate which images it got right.
    """
    if any(c.hits is None or c.validation is None for c in candidates):
        return {}
    ordered = sorted(
        candidates, key=lambda c: tuple(points([c], objectives[1:])[0])
    )  # of equals the cheapest
    costs = points(ordered, objectives)
    of = {c.arch.id: costs[i] for i, c in enumerate(ordered)}
    asked = {c.arch.id: np.all(costs[:, 1:] <= of[c.arch.id][1:], axis=1) for c in members}
    asked[chosen.arch.id] = np.ones(len(ordered), dtype=np.bool_)
    pools = np.array([pool & (costs[:, 0] >= of[name][0]) for name, pool in asked.items()])
    hits = [packed_bits(c.hits) for c in ordered if c.hits is not None]
    images = {c.arch.id: c.validation.images for c in ordered if c.validation is not None}
    shares = crossed(hits, pools, rng)
    return {
        name: with_interval(right / images[name], images[name], int(pool.sum()))
        for name, right, pool in zip(asked, shares, pools, strict=True)
    }


def crossed(hits: Sequence[Bits], pools: Pools, rng: np.random.Generator) -> Floats:
    """Images right, each judged by the choice of the other half, shape (choices, splits).

    ``hits`` are a row for each candidate, the preferred of equals first. An image that none gets right, as one
    that cannot be decoded, changes nothing.
    """
    images = len(hits[0])
    halves = (rng.permuted(np.tile(np.arange(images) % 2, (RANDOM_SPLITS, 1)), axis=1).T).astype(np.float32)
    first, whole = np.empty((len(hits), RANDOM_SPLITS)), np.empty((len(hits), 1))
    for start in range(0, len(hits), AT_ONCE):
        some = slice(start, start + AT_ONCE)
        numbers = np.array(hits[some], dtype=np.float32)  # sums of so few ones are exact
        first[some], whole[some] = numbers @ halves, numbers.sum(axis=1, keepdims=True)
    other, splits = whole - first, np.arange(RANDOM_SPLITS)
    found = np.empty((len(pools), RANDOM_SPLITS))
    for row, pool in zip(found, pools, strict=True):
        by_first = np.where(pool[:, None], first, -1).argmax(axis=0)
        by_other = np.where(pool[:, None], other, -1).argmax(axis=0)
        row[:] = other[by_first, splits] + first[by_other, splits]
    return found


def with_interval(shares: Floats, images: int, among: int) -> Corrected:
    """The mean of the splits' shares (splits,) with Wilson's interval of as many images as its variance amounts to."""
    share = float(shares.mean())
    binomial = share * (1 - share) / images
    worth = images * binomial / (binomial + float(shares.var())) if binomial > 0 else images
    middle = (share + Z**2 / (2 * worth)) / (1 + Z**2 / worth)
    half = Z / (1 + Z**2 / worth) * math.sqrt(share * (1 - share) / worth + Z**2 / (4 * worth**2))
    return Corrected(share, max(0.0, middle - half), min(1.0, middle + half), among)
