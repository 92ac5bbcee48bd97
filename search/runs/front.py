"""Fronts: who dominates whom, how much a front covers, and which point to pick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search.problem.objectives import Objective
from search.runs.study import Candidate, value_of_trial
from search.storages.ended import EndedTrial
from supernet.errors import InputError, some

Points = npt.NDArray[np.float64]
"""Shape (candidates, objectives), signed so that less is better everywhere."""


def points(candidates: Sequence[Candidate], objectives: Sequence[Objective]) -> Points:
    rows = [[o.signed(candidate.value(o.name)) for o in objectives] for candidate in candidates]
    return np.array(rows, dtype=np.float64).reshape(len(candidates), len(objectives))


def signed_values(trials: Sequence[EndedTrial], objectives: Sequence[Objective]) -> Points:
    """The points of complete trials."""
    rows = [[o.signed(value_of_trial(trial, o.name)) for o in objectives] for trial in trials]
    return np.array(rows, dtype=np.float64).reshape(len(trials), len(objectives))


def undominated_points(found: Points) -> list[int]:
    """The places of points that no other dominates; of equal ones the first."""
    import moocore

    if not len(found):
        return []
    return [int(place) for place in np.flatnonzero(moocore.is_nondominated(found, keep_weakly=False))]


def front(candidates: Sequence[Candidate], objectives: Sequence[Objective]) -> list[Candidate]:
    """The candidates that no other dominates, from cheap to dear; of equal ones the first."""
    found = [candidates[place] for place in undominated_points(points(candidates, objectives))]
    return sorted(found, key=lambda c: tuple(c.value(o.name) for o in reversed(objectives)))


def by_accuracy(candidates: Sequence[Candidate], objectives: Sequence[Objective]) -> list[Candidate]:
    """The most accurate first; of equals the cheapest in the other objectives."""
    order = np.lexsort(
        points(candidates, objectives).T[::-1]
    )  # whose last key is the first, and which is stable
    return [candidates[place] for place in order]


def best(candidates: Sequence[Candidate], objectives: Sequence[Objective]) -> Candidate:
    """The first of :func:`by_accuracy`."""
    return min(candidates, key=lambda c: [o.signed(c.value(o.name)) for o in objectives])


def knee(found: Sequence[Candidate], objectives: Sequence[Objective]) -> Candidate:
    """The point of a front with the least sum of objectives, each scaled to 0..1 over the front.

    In two objectives that is the point farthest below the line through the front's ends (Das,
    1999). A front that is one point or only ends, each the best in some objective, has no knee,
    nor has one of two objectives that nowhere lies below that line: then it is the best.
    """
    signed = points(found, objectives)
    span = np.ptp(signed, axis=0)
    scaled = (signed - signed.min(axis=0)) / np.where(span > 0, span, 1)
    if (scaled == 0).any(axis=1).all():
        return best(found, objectives)
    order = np.lexsort((*reversed(signed.T), scaled.sum(axis=1)))  # of equal sums the most accurate
    return found[int(order[0])]


def pick(found: Sequence[Candidate], objectives: Sequence[Objective], which: str) -> Candidate:
    """``best``, ``knee`` or the start of an arch id. Raises InputError that lists the ids."""
    if which == "best":
        return best(found, objectives)
    if which == "knee":
        return knee(found, objectives)
    # every id starts with an empty text, which means none of them
    matches = [candidate for candidate in found if which and candidate.arch.id.startswith(which)]
    if len(matches) == 1:
        return matches[0]
    problem = "no candidate" if not matches else f"{len(matches)} candidates"
    ids = some(candidate.arch.id for candidate in found)
    raise InputError(f"--pick {which!r} names {problem} of the front; give best, knee or one of {ids}")


@dataclass(frozen=True)
class Coverage:
    """Hypervolume of a front, as a share of the box between ``ideal`` and ``reference``."""

    hypervolume: float
    ideal: tuple[float, ...]
    reference: tuple[float, ...]


def coverage(fronts: Sequence[Points], reference: Sequence[float] | None = None) -> list[Coverage]:
    """Hypervolumes with one common reference point, signed as the points are; without one, that of :func:`beyond_worst`.

    Both the ideal and the reference are signed (less is better); the share lies in 0..1. Points that are no better than the
    reference in every objective add nothing.
    """
    import moocore

    ideal = np.concatenate(fronts).min(axis=0)
    at = np.array(beyond_worst(fronts) if reference is None else reference, dtype=np.float64)
    box = float(np.prod(at - ideal))
    return [
        Coverage(
            float(moocore.hypervolume(one, ref=at)) / box, tuple(map(float, ideal)), tuple(map(float, at))
        )
        for one in fronts
    ]


BEYOND = 0.01
"""How far the reference point lies beyond the worst of all fronts, as a share of what they span."""


def beyond_worst(fronts: Sequence[Points], share: float = BEYOND) -> tuple[float, ...]:
    """A reference point: the worst value of any front, and ``share`` of the span of all beyond it."""
    everything = np.concatenate(fronts)
    ideal, worst = everything.min(axis=0), everything.max(axis=0)
    return tuple(map(float, worst + share * np.where(worst > ideal, worst - ideal, 1.0)))


def dominated_share(one: Points, other: Points) -> float:
    """Share of the points of ``one`` that some point of ``other`` dominates."""
    no_worse = np.all(other[None, :, :] <= one[:, None, :], axis=2)
    better = np.any(other[None, :, :] < one[:, None, :], axis=2)
    return float(np.any(no_worse & better, axis=1).mean())
