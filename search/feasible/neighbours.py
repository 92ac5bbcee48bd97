"""Archs one change away, and the climb from arch to better neighbour.

Steps of several changes at once, each arch within limits of its own, are in :mod:`search.proposing.hill_climbing`.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import cast

import numpy as np
import numpy.typing as npt

from supernet.archs.space import Codes, SearchSpace
from supernet.arrays import Floats

Score = Callable[[Codes], Floats]
"""Codes (n, dimensions) -> how good they are, shape (n,); more is better."""


def keys(codes: Codes) -> list[bytes]:
    """One hashable key for each row of canonical codes."""
    rows = np.ascontiguousarray(codes, dtype=np.int16)
    whole = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1])))
    return cast("list[bytes]", whole.ravel().tolist())


def distinct(codes: Codes, seen: Container[bytes] = ()) -> Codes:
    """The first of each of several equal rows, without those in ``seen``, in order."""
    first = {key: i for i, key in reversed(list(enumerate(keys(codes)))) if key not in seen}
    return codes[sorted(first.values())]


def single_changes(
    space: SearchSpace, codes: Codes
) -> tuple[Codes, npt.NDArray[np.intp], npt.NDArray[np.intp], Codes]:
    """Every arch one choice away: codes, the row it comes from, the dimension and the choice."""
    dimensions, choices = space.every_choice
    rows = np.repeat(codes[:, None], len(choices), axis=1)
    rows[:, np.arange(len(choices)), dimensions] = choices
    rows = space.canonical(rows.reshape(-1, codes.shape[1])).reshape(rows.shape)
    owner, change = np.nonzero((rows != codes[:, None]).any(axis=2))
    return rows[owner, change], owner, dimensions[change], choices[change]


def neighbours(space: SearchSpace, codes: Codes) -> Codes:
    """Archs of one row of ``codes`` with one choice changed, canonical and distinct: all with one change, then the next."""
    rows, _, dimensions, choices = single_changes(space, codes)
    return distinct(rows[np.lexsort((choices, dimensions))], set(keys(codes)))


def ascend(
    codes: Codes,
    scores: Floats,
    score: Score,
    around: Callable[[Codes], Codes],
    steps: int,
    leaders: int = 1,
    enough: float = np.inf,
) -> tuple[Codes, Floats]:
    """``codes`` (n, dimensions) and all that was met, with their scores, the best first.

    In each of at most ``steps`` steps what is ``around`` the best so many joins them, while the best gets better and
    is not good ``enough``.
    """
    codes, scores = best_first(codes, scores)
    for _ in range(steps):
        if scores[0] >= enough:
            break
        codes, scores = join(codes, scores, around(codes[:leaders]), score)
        if scores.max() <= scores[0]:
            break
        codes, scores = best_first(codes, scores)
    return best_first(codes, scores)


def descend(
    start: Codes, cost: Score, around: Callable[[Codes], Codes], enough: float
) -> tuple[Codes, float]:
    """The same where less is better: the best arch that is met, shape (1, dimensions), and its cost.

    At most :data:`TURNS` steps a dimension, until the cost is ``enough``.
    """

    def less(codes: Codes) -> Floats:
        return -cost(codes)

    codes, scores = ascend(start, less(start), less, around, TURNS * start.shape[1], enough=-enough)
    return codes[:1], -float(scores[0])


TURNS = 4
"""Times that each choice may change on the way down."""


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
