"""What measuring an arch is expected to add to the front.

Costs are known exactly, so only the accuracy y is uncertain. The area (volume)
that (cost c, accuracy y) adds below the reference costs is the integral over
all costs t >= c of max(0, y - f(t)), where f(t) is the best accuracy known at
costs up to t. Its expectation is the same integral over the expected
improvement on f(t) (Jones et al., 1998): one formula for no cost, where it is
the expected improvement itself, one cost, or more (Emmerich et al., 2006).
``guided`` gives square roots of costs for c (:func:`roots`).

Notation, for ``n`` archs, ``k`` costs and ``b`` boxes in which ``f`` is constant:

==========  =========  ===========================================================================
``mean``    (n,)       expected accuracy, with its deviation ``std`` (n,)
``costs``   (n, k)     exact
``lower``   (b, k)     the corner of a box from which its costs begin; minus infinity below the front
``upper``   (b, k)     where they end: the next step of the front, or the reference
``best``    (b,)       f in the box: the best accuracy known at costs up to ``lower``
``sides``   (n, b, k)  of the part of a box at no less than an arch's costs
``z``       (n, b)     ``(mean - best) / std``
==========  =========  ===========================================================================
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from supernet.arrays import Floats

MOST_STEPS = {1: 64, 2: 14}
"""Most steps of the front along each of so many costs; a longer front is thinned out."""

FEW_STEPS = 6
"""The same for more costs."""


def roots(costs: Floats) -> Floats:
    """Square roots of costs, (..., k) as given: what an improvement's volume is of.

    With plain costs the dear half of a space is most of the width and takes most of the proposals; with their logarithms the
    cheap ones do (docs/decisions/019-resnet.md has figures of all three).
    """
    return np.asarray(np.sqrt(np.maximum(costs, 0)))


@dataclass(frozen=True)
class Improvement:
    """Boxes of the cost space with the best accuracy known in each."""

    lower: Floats
    upper: Floats
    best: Floats

    def __call__(self, mean: Floats, std: Floats, costs: Floats) -> Floats:
        """Expected added volume of n archs: means and deviations (n,), costs (n, k); shape (n,)."""
        # an arch adds only at costs no less than its own: to a lower budget it is no answer
        sides = np.clip(self.upper - np.maximum(self.lower, costs[:, None, :]), 0, None)
        return np.asarray((sides.prod(axis=2) * expected_excess(mean, std, self.best)).sum(axis=1))


def expected_excess(mean: Floats, std: Floats, best: Floats) -> Floats:
    """E max(0, y - b) of normal y for each arch and each b, shape (n, len(best)), never quite 0."""
    from scipy.special import ndtr

    z = (mean[:, None] - best) / std[:, None]
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    # far below the best the closed form is 0 in double precision; a tiny slope still ranks such archs
    far = 1e-12 * np.exp(-np.abs(np.minimum(z, 0)) / 10)
    return np.asarray(std[:, None] * (np.maximum(density + z * ndtr(z), 0) + far))


def improvement(accuracy: Floats, costs: Floats, floor: float, ceiling: Floats) -> Improvement:
    """Over the front of known archs: accuracies (n,), costs (n, k) up to ``ceiling`` (k,), accuracy from ``floor``."""
    k = costs.shape[1]
    if k == 0:
        # a box without sides, whose product is 1, so that what is left is the expected improvement itself
        none = np.empty((1, 0))
        return Improvement(none, none, np.array([max([floor, *accuracy.tolist()])]))
    kept = front(accuracy, costs)
    # f is constant between costs of the front; below the cheapest of them, from minus infinity on, it is the floor
    steps = [
        np.concatenate([[-np.inf], thinned_values(costs[kept, i], MOST_STEPS.get(k, FEW_STEPS))])
        for i in range(k)
    ]
    tops = [np.append(step[1:], top) for step, top in zip(steps, ceiling, strict=True)]
    lower = np.stack([grid.ravel() for grid in np.meshgrid(*steps, indexing="ij")], axis=1)
    upper = np.stack([grid.ravel() for grid in np.meshgrid(*tops, indexing="ij")], axis=1)
    # where a front was thinned out, f is taken from the lower corner of wider boxes: it may be too low, never too high
    below = (costs[kept][None] <= lower[:, None]).all(axis=2)
    best = np.where(below, accuracy[kept], floor).max(axis=1, initial=floor)
    return Improvement(lower, upper, best)


def thinned_values(values: Floats, most: int) -> Floats:
    """The distinct values in ascending order, or ``most`` of them evenly by rank."""
    values = np.unique(values)
    if len(values) <= most:
        return values
    return np.asarray(values[np.linspace(0, len(values) - 1, most).round().astype(np.intp)])


def front(accuracy: Floats, costs: Floats) -> npt.NDArray[np.intp]:
    """Indices, most accurate first, of archs that no other beats; accuracies (n,), costs (n, k)."""
    if not len(accuracy):
        return np.empty(0, dtype=np.intp)
    if costs.shape[1] == 0:
        return np.array([accuracy.argmax()], dtype=np.intp)
    # the most accurate first, of equals the cheapest: an arch is beaten exactly where one before it costs no more
    order = np.lexsort([*costs.T[::-1], -accuracy])
    if costs.shape[1] == 1:
        cost = costs[order, 0]
        cheaper = cost[1:] < np.minimum.accumulate(cost)[:-1]
        return np.asarray(order[np.concatenate([[True], cheaper])])
    kept: list[int] = []
    for i in order:
        if not (costs[kept] <= costs[i]).all(axis=1).any():
            kept.append(int(i))
    return np.array(kept, dtype=np.intp)


def reached(accuracy: Floats, costs: Floats, at: Floats) -> Floats:
    """The best accuracy (n,) known at no more than the costs ``at`` (m, k), shape (m,); the least where there is none.

    ``costs`` (n, k) are those of the accuracies.
    """
    least = float(accuracy.min())
    members = front(accuracy, costs)[::-1]  # of one cost: from cheap to dear
    if costs.shape[1] == 1:
        steps = np.concatenate([[least], accuracy[members]])
        # on the right of equal costs: what costs just as much may be had
        return np.asarray(steps[np.searchsorted(costs[members, 0], at[:, 0], side="right")])
    below = (costs[members] <= at[:, None]).all(axis=2)
    return np.asarray(np.where(below, accuracy[members], least).max(axis=1))
