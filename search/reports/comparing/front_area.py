"""Hypervolumes of fronts in accuracy and one cost: against which point, how they order fronts, and what each image adds.

A front is what validation images chose, so its accuracies on them are too high, and its hypervolume with them. On the report
images, which chose nothing, a hypervolume of the best measured there would choose again, by their luck. So here every
budget is served by the subnet that validation chose for it, with its accuracy on the report images. That area is a weighted
sum of accuracies, a mean over images, and the same as the hypervolume where both splits put the subnets in one order.

    c[k], a[k]   cost and accuracy of member k, from cheap to dear; (C, A) is the reference point
    w[k]         (c[k + 1] - c[k]) / box, the share of budgets that it serves; the last up to C
    area         sum of w[k] (a[k] - A)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search.problem.objectives import Objective
from search.runs.front import Coverage, Points, beyond_worst, coverage
from supernet.arrays import Floats
from supernet.errors import InputError

SHARES = (0.01, 0.02, 0.05, 0.1)
"""How far beyond the worst of any front the reference points lie that are tried."""
NEARLY = 1e-9
"""Hypervolumes that differ by no more are the same but for rounding."""


@dataclass(frozen=True)
class ReferencePoint:
    """What a hypervolume is asked to be against: a share beyond the worst of any front, or values of some axes by name."""

    share: float | None = None
    values: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Ordered:
    """Fronts under one reference point: their hypervolumes, and their places from the greatest to the least."""

    share: float
    hypervolumes: tuple[float, ...]

    @property
    def order(self) -> tuple[tuple[int, ...], ...]:
        """Places of fronts, the greatest hypervolume first; those of equals together."""
        ranked = sorted(range(len(self.hypervolumes)), key=lambda i: -self.hypervolumes[i])
        found: list[list[int]] = []
        for i in ranked:
            if found and self.hypervolumes[found[-1][0]] - self.hypervolumes[i] <= NEARLY:
                found[-1].append(i)
            else:
                found.append([i])
        return tuple(tuple(sorted(some)) for some in found)


def parse_reference(text: str) -> ReferencePoint:
    """``5%``, or ``macs=3e6,top1=0.8``. Raises InputError for anything else."""
    allowed = "give a percentage beyond the worst of all fronts, as 5%, or values, as macs=3e6,top1=0.8"
    parts = [part.partition("=") for part in text.split(",")]
    try:
        if text.strip().endswith("%"):
            asked = ReferencePoint(share=float(text.strip()[:-1]) / 100)
        else:
            asked = ReferencePoint(values=tuple((name.strip(), float(value)) for name, _, value in parts))
    except ValueError:
        raise InputError(f"--reference {text!r} is no reference point: {allowed}") from None
    if asked.share is not None and not 0 < asked.share < math.inf:
        raise InputError(f"--reference {text}: the percentage must be positive and finite; {allowed}")
    names, values = [name for name, _ in asked.values], [value for _, value in asked.values]
    if len(set(names)) < len(names) or not all(map(math.isfinite, values)):
        raise InputError(f"--reference {text}: each axis once, with a finite number; {allowed}")
    return asked


def reference_point(
    asked: ReferencePoint | None, fronts: Sequence[Points], axes: Sequence[Objective]
) -> tuple[float, ...]:
    """The point, signed; an axis without a value has that of one per cent beyond the worst.

    Raises InputError for an axis that is not compared, and for a point that no front is better than.
    """
    if asked is None:
        return beyond_worst(fronts)
    if asked.share is not None:
        return beyond_worst(fronts, asked.share)
    names, given = [axis.name for axis in axes], dict(asked.values)
    if other := [name for name in given if name not in names]:
        raise InputError(
            f"--reference names {', '.join(other)}, but the fronts are compared in {' and '.join(names)}; "
            "name these, or another cost with --cost"
        )
    point = tuple(
        axis.signed(given[axis.name]) if axis.name in given else value
        for axis, value in zip(axes, beyond_worst(fronts), strict=True)
    )
    if not any(bool((one < point).all(axis=1).any()) for one in fronts):
        told = ", ".join(
            f"{axis.name}={axis.signed(value):g}" for axis, value in zip(axes, point, strict=True)
        )
        raise InputError(
            f"--reference {told}: no subnet of any front is better than this point, so that all hypervolumes would be 0; "
            "top1 and top5 are fractions, and costs in the unit of their names"
        )
    return point


def orders(fronts: Sequence[Points]) -> tuple[Ordered, ...]:
    """The fronts' hypervolumes under reference points near and far."""
    return tuple(
        Ordered(share, tuple(one.hypervolume for one in coverage(fronts, beyond_worst(fronts, share))))
        for share in SHARES
    )


def area_weights(front: Points, covered: Coverage) -> tuple[Floats, float]:
    """The weight of each member's accuracy (K,), and what is taken off for the reference: area = weights @ accuracies - that.

    ``front`` has signed accuracy and cost, in any order, and no member that another dominates.
    """
    (accuracy, cost), ideal = covered.reference, covered.ideal
    weights = np.zeros(len(front))
    inside = np.flatnonzero((front[:, 0] < accuracy) & (front[:, 1] < cost))
    inside = inside[np.argsort(front[inside, 1])]
    box = (accuracy - ideal[0]) * (cost - ideal[1])
    weights[inside] = np.diff(np.append(front[inside, 1], cost)) / box
    return weights, float(weights.sum() * -accuracy)
