"""Which part of an axis a picture shows, so that a few points far away do not squeeze the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

NEAR_SHARE = 0.8
"""Share of the points that is near the one that matters."""
REACH_OF_NEAR = 3.0
"""Shown is what is at most so many times as far away as those that are near."""
WORTH_IT = 1.5
"""An axis is cut where it is longer than what is shown by more than this factor."""
LOGARITHMIC = 10.0
"""An axis whose greatest value is this many times its least is logarithmic, where it is not cut."""


def least_shown(values: Sequence[float], at: float, always: Sequence[float] = ()) -> float:
    """From which value on an axis shows ``values``, of which those by ``at`` matter; ``always`` are shown whatever they are.

    The least of all where nothing is far away.
    """
    every = np.array([*values, *always])
    below = np.sort(at - np.array(values)[np.array(values) <= at])
    if len(below) < 2:
        return float(every.min())
    near = below[int(np.ceil(NEAR_SHARE * len(below))) - 1]
    shown = max([*below[below <= REACH_OF_NEAR * near], *(at - value for value in always)])
    if below[-1] <= WORTH_IT * shown or shown <= 0:
        return float(every.min())
    return float(at - shown)


def is_spread(values: Sequence[float]) -> bool:
    """Whether a logarithmic axis shows positive values better."""
    return min(values) > 0 and max(values) >= LOGARITHMIC * min(values)
