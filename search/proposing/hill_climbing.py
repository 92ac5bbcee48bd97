"""From archs to better ones near them, by steps of up to three changes that keep the budgets together.

A larger kernel here is paid for by a shallower stage there, so where a budget binds no single change
improves. All single changes are judged, within the budgets or not; what two or three of them add is
then guessed to be the sum of what each adds, and only the most promising sums are judged.
Where slopes tell what single changes add, these are not judged either, and a step costs a third.

Notation, for ``n`` archs with ``m`` single changes and ``k`` costs (:mod:`search.proposing.changes`):

============  =================  ==================================================================
``gains``     (n, m)             what each change adds to how good the arch is, as judged or as the slopes tell
``costs``     (n, m, k)          what each change adds to its costs; negative where it saves
``room``      (n, k)             limits less the arch's own costs
``gains2``    (n, pairs)         gains of pairs
``gains3``    (n, pairs, kept)   gains of the best pairs with each third change
============  =================  ==================================================================
"""

from __future__ import annotations

import numpy as np

from search.feasible.neighbours import Score
from search.problem.problem import Problem
from search.proposing.annealing import Slope
from search.proposing.changes import Places, SingleChanges
from supernet.archs.space import Codes
from supernet.arrays import Floats

KEPT = 48
"""Single changes of an arch that are put together: the most gainful, and those that save most for what they lose."""
TRIED = 48
"""Pairs, and as many triples, of each arch that are judged in a step."""
TRIED_OF_SLOPES = 24
"""The same, and the most single changes, where gains are as slopes tell: the step is repeated soon with new slopes."""
SLACK = 0.01
"""The sum of the changes' costs may be over a limit by this share of it: what it really costs is looked up."""
LEAST_GAIN = 1e-9


def climb(
    problem: Problem,
    codes: Codes,
    limits: Floats,
    judge: Score,
    steps: int,
    slope: Slope | None = None,
) -> tuple[Codes, Floats]:
    """Each of ``codes`` (n, dimensions) after at most ``steps`` steps within its limits (n, costs), and how good.

    Limits are upper bounds of :meth:`Problem.totals`, which ``codes`` keep. With ``slope``, canonical codes alone.
    """
    codes, good = codes.copy(), judge(codes)
    moving = np.arange(len(codes))
    for _ in range(steps):
        if not len(moving):
            break
        proposals, owner = proposed(problem, codes[moving], good[moving], limits[moving], judge, slope)
        found = judge(proposals)
        moved = []
        for i, place in enumerate(moving):
            mine = np.flatnonzero(owner == i)
            if len(mine) and found[mine].max() > good[place] + LEAST_GAIN:
                best = mine[found[mine].argmax()]
                codes[place], good[place] = proposals[best], found[best]
                moved.append(place)
        moving = np.array(moved, dtype=np.intp)
    return codes, good


def proposed(
    problem: Problem, codes: Codes, good: Floats, limits: Floats, judge: Score, slope: Slope | None
) -> tuple[Codes, Places]:
    """Archs within the limits that are worth a look, and the row of ``codes`` that each comes from."""
    singles, totals = SingleChanges(problem), problem.totals(codes)
    costs = singles.costs(codes, totals)
    if slope is None:
        gains, few, tried = singles.judged_gains(codes, good, judge), 1, TRIED
    else:
        gains = singles.gains(slope(codes)[1](np.arange(len(codes))), codes)
        few, tried = TRIED_OF_SLOPES // 2, TRIED_OF_SLOPES
    room = limits - totals
    single = np.where((costs <= room[:, None]).all(axis=2), gains, -np.inf)
    owner, place = most(single, few)
    which = np.full((len(owner), 3), len(singles.choices))
    which[:, 0] = place
    owners, more = combined(singles, gains, costs, room + SLACK * np.abs(limits), tried)
    owner, which = np.concatenate([owner, owners]), np.concatenate([which, more])
    rows = singles.made(codes[owner], which)
    inside = (problem.totals(rows) <= limits[owner]).all(axis=1)
    return rows[inside], owner[inside]


def combined(
    singles: SingleChanges, gains: Floats, costs: Floats, room: Floats, tried: int
) -> tuple[Places, Places]:
    """The most gainful steps of two and of three changes: the arch (steps,) and the changes (steps, 3) of each."""
    m, every = gains.shape[1], np.arange(len(gains))[:, None]
    kept = worth_combining(gains, costs)
    gains, costs, of = gains[every, kept], costs[every, kept], singles.dimensions[kept]
    first, second = np.triu_indices(kept.shape[1], 1)
    gains2, costs2 = gains[:, first] + gains[:, second], costs[:, first] + costs[:, second]
    gains2[of[:, first] == of[:, second]] = -np.inf
    row, pair = most(np.where((costs2 <= room[:, None]).all(axis=2), gains2, -np.inf), tried)
    pairs = np.stack([kept[row, first[pair]], kept[row, second[pair]], np.full(len(row), m)], axis=1)
    # all triples would be 17,000 of 48 changes; those of the most gainful pairs have nearly all that are worth it
    # over the limits too: the third may pay for them
    many = min(2 * tried, gains2.shape[1])
    best = (
        np.argpartition(-gains2, many - 1, axis=1)[:, :many] if many else np.empty((len(gains), 0), np.intp)
    )
    gains3 = gains2[every, best][:, :, None] + gains[:, None]
    costs3 = costs2[every, best][:, :, None] + costs[:, None]
    taken = (of[:, None] == of[every, first[best]][:, :, None]) | (
        of[:, None] == of[every, second[best]][:, :, None]
    )
    gains3[taken | ~(costs3 <= room[:, None, None]).all(axis=3)] = -np.inf
    owner, place = most(gains3.reshape(len(gains), -1), tried)
    pair, third = np.divmod(place, kept.shape[1])
    pair = best[owner, pair]
    triples = np.stack([kept[owner, first[pair]], kept[owner, second[pair]], kept[owner, third]], axis=1)
    return np.concatenate([row, owner]), np.concatenate([pairs, triples])


def worth_combining(gains: Floats, costs: Floats) -> Places:
    """Of each arch at most :data:`KEPT`, (n, kept): half that gain most, and for each cost those that save most for what they lose."""
    n, m, k = costs.shape
    if m <= KEPT:
        return np.repeat(np.arange(m)[None], n, axis=0)
    lost = np.maximum(-gains, LEAST_GAIN)
    rank = [np.argsort(np.argsort(-gains, axis=1, kind="stable"), axis=1)]
    for cost in np.moveaxis(costs, 2, 0):
        saving = np.where((cost < 0) & (gains > -np.inf), -cost / lost, -np.inf)
        rank.append(k * np.argsort(np.argsort(-saving, axis=1, kind="stable"), axis=1))
    return np.sort(np.argsort(np.min(rank, axis=0), axis=1, kind="stable")[:, :KEPT], axis=1)


def most(values: Floats, count: int) -> tuple[Places, Places]:
    """Rows and places of the ``count`` largest in each row of ``values`` (n, m), without those that are minus infinity."""
    if count < values.shape[1]:
        few = np.sort(np.argpartition(-values, count - 1, axis=1)[:, :count], axis=1)
    else:
        few = np.repeat(np.arange(values.shape[1])[None], len(values), axis=0)
    there = np.take_along_axis(values, few, axis=1) > -np.inf
    return np.nonzero(there)[0], few[there]
