"""From archs to better ones near them, by steps of up to three changes that keep the budgets together.

A larger kernel here is paid for by a shallower stage there, so where a budget binds no single change
improves. All single changes are judged, within the budgets or not; what two or three of them add is
then guessed to be the sum of what each adds, and only the most promising sums are judged.
Where slopes tell what single changes add, these are not judged either, and a step costs a third.

Notation, for an arch with ``m`` single changes and ``c`` costs:

============  ==========  ==================================================================
``gains``     (m,)        what each change adds to how good the arch is, as judged or as the slopes tell
``costs``     (m, c)      what each change adds to its costs; negative where it saves
``room``      (c,)        limits less the arch's own costs
``slack``     (c,)        how far a sum of costs may be over the room until it is looked up
``gains3``    (pairs, m)  gains of pairs with each third change
============  ==========  ==================================================================
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search.feasible.neighbours import Score, distinct, single_changes
from search.problem.problem import Problem
from search.proposing.annealing import Slope, summed
from supernet.arrays import Floats
from supernet.space import Codes, SearchSpace

KEPT = 48
"""Single changes of an arch that are put together: the most gainful, and those that save most for what they lose."""
TRIED = 48
"""Pairs, and as many triples, of each arch that are judged in a step."""
TRIED_OF_SLOPES = 24
"""The same, and the most single changes, where gains are as slopes tell: the step is repeated soon with new slopes."""
SLACK = 0.01
"""The sum of the changes' costs may be over a limit by this share of it: what it really costs is looked up."""
LEAST_GAIN = 1e-9


@dataclass(frozen=True)
class Changes:
    """Single changes of one arch: dimensions (m,), choices (m,), what they gain (m,) and cost (m, costs)."""

    dimensions: npt.NDArray[np.intp]
    choices: Codes
    gains: Floats
    costs: Floats

    def __getitem__(self, rows: npt.NDArray[np.intp]) -> Changes:
        return Changes(self.dimensions[rows], self.choices[rows], self.gains[rows], self.costs[rows])


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
) -> tuple[Codes, npt.NDArray[np.intp]]:
    """Archs within the limits that are worth a look, and the row of ``codes`` that each comes from."""
    space, totals = problem.space, problem.totals(codes)
    rows, owner, dimensions, choices = single_changes(space, codes)
    costs = problem.totals(rows) - totals[owner]
    if slope is None:
        gains, singles, tried = judge(rows) - good[owner], 1, TRIED
    else:
        gains, singles, tried = (
            told_by_slopes(space, slope, codes, rows, owner),
            TRIED_OF_SLOPES // 2,
            TRIED_OF_SLOPES,
        )
    found, owners = [], []
    for i, code in enumerate(codes):
        mine = np.flatnonzero(owner == i)
        changes = Changes(dimensions[mine], choices[mine], gains[mine], costs[mine])
        room = limits[i] - totals[i]
        single = mine[(changes.costs <= room).all(axis=1)]
        best = single[most(gains[single], singles)]
        both = np.concatenate(
            [rows[best], combined(space, code, changes, room, SLACK * np.abs(limits[i]), tried)]
        )
        found.append(both)
        owners.append(np.full(len(both), i))
    proposals, owner = np.concatenate(found), np.concatenate(owners)
    inside = (problem.totals(proposals) <= limits[owner]).all(axis=1)
    return proposals[inside], owner[inside]


def told_by_slopes(
    space: SearchSpace, slope: Slope, codes: Codes, changed: Codes, owner: npt.NDArray[np.intp]
) -> Floats:
    """What each of ``changed`` (m, dimensions) adds to the arch ``owner`` (m,) of ``codes``, to first order; (m,)."""
    every = np.arange(len(codes))
    slopes = slope(codes)[1](every)
    return (
        summed(slopes, owner, changed, space.active(changed))
        - summed(slopes, every, codes, space.active(codes))[owner]
    )


def combined(
    space: SearchSpace, code: Codes, changes: Changes, room: Floats, slack: Floats, tried: int
) -> Codes:
    """One arch (dimensions,) with two and with three of its changes made, shape (n, dimensions)."""
    changes = changes[worth_combining(changes)]
    m = len(changes.gains)
    if m < 2:
        return np.empty((0, len(code)), dtype=np.int16)
    room = room + slack
    first, second = np.triu_indices(m, 1)
    apart = changes.dimensions[first] != changes.dimensions[second]
    first, second = first[apart], second[apart]
    gains, costs = changes.gains[first] + changes.gains[second], changes.costs[first] + changes.costs[second]
    pairs = most(np.where((costs <= room).all(axis=1), gains, -np.inf), tried)
    parts = [with_changes(code, changes, np.stack([first[pairs], second[pairs]], axis=1))]
    # all triples would be 17,000 of 48 changes; those of the most gainful pairs have nearly all that are worth it
    third_of = most(gains, 2 * tried)  # over the limits too: the third may pay for them
    gains3 = gains[third_of][:, None] + changes.gains
    costs3 = costs[third_of][:, None] + changes.costs
    taken = (changes.dimensions == changes.dimensions[first[third_of]][:, None]) | (
        changes.dimensions == changes.dimensions[second[third_of]][:, None]
    )
    gains3 = np.where((costs3 <= room).all(axis=2) & ~taken, gains3, -np.inf)
    pair, third = np.divmod(most(gains3.ravel(), tried), m)
    pair = third_of[pair]
    parts.append(with_changes(code, changes, np.stack([first[pair], second[pair], third], axis=1)))
    return distinct(space.canonical(np.concatenate(parts)))


def worth_combining(changes: Changes) -> npt.NDArray[np.intp]:
    """At most :data:`KEPT`: half that gain most, and for each cost those that save most for what they lose."""
    if len(changes.gains) <= KEPT:
        return np.arange(len(changes.gains))
    chosen = [most(changes.gains, KEPT // 2)]
    saving = KEPT // 2 // max(1, changes.costs.shape[1])
    for cost in changes.costs.T:
        lost = np.maximum(-changes.gains, LEAST_GAIN)
        chosen.append(most(np.where(cost < 0, -cost / lost, -np.inf), saving))
    return np.unique(np.concatenate(chosen))


def most(values: Floats, count: int) -> npt.NDArray[np.intp]:
    """Places of the ``count`` largest of ``values`` (n,), without those that are minus infinity, the largest first."""
    if 4 * count < len(
        values
    ):  # to put aside most of thousands first is several times as fast as to sort them
        few = np.sort(np.argpartition(-values, count - 1)[:count])
    else:
        few = np.arange(len(values))
    places = few[np.argsort(-values[few], kind="stable")[:count]]
    return np.asarray(places[values[places] > -np.inf])


def with_changes(code: Codes, changes: Changes, which: npt.NDArray[np.intp]) -> Codes:
    """One arch (dimensions,) with the changes in each row of ``which`` (n, several) made."""
    rows = np.repeat(code[None], len(which), axis=0)
    for column in which.T:
        rows[np.arange(len(which)), changes.dimensions[column]] = changes.choices[column]
    return rows
