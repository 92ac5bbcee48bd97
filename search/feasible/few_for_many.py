"""A few candidates for many devices: which at most K of them to keep so that every device has one at the least loss.

This is the p-median problem (Hakimi, 1964; ReVelle & Swain, 1970), made small before it is solved:

1. A candidate is dropped where another has no greater loss on any device.
2. Lagrangian relaxation of "each device has one" (Cornuejols, Fisher & Nemhauser, 1977) with the step of Held, Wolfe &
   Crowder (1974) gives a bound, and sets of candidates that exchanges of one improve (Teitz & Bart, 1968).
3. Candidates and pairs that no better set can have, by that bound, are dropped (Christofides & Beasley, 1982).
4. What is left is looked through where it is little; else it is an integer program in the strong formulation ("a device
   has a candidate only if that is kept", for each pair), which HiGHS solves (Huangfu & Hall, 2018).

Notation, for ``n`` devices and ``m`` candidates:

===========  ========  =============================================================================
``losses``   (n, m)    what a device loses with a candidate, at least 0; infinite where it cannot have it
``weights``  (n,)      how much a device counts; at least 0
``prices``   (n,)      multipliers of "each device has one": what a device pays to have one
``saved``    (m,)      what a candidate takes off the Lagrangian, at most 0
===========  ========  =============================================================================
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from supernet.arrays import Floats

PRICE_STEPS = 300
"""Of the Lagrangian's prices."""
WORTH_EXCHANGES = 1.5
"""Times the least loss: what is met and loses more is left as it is."""
PATIENCE = 20
"""Steps without a better bound after which they get shorter."""
SAME_LOSS = 1e-9
"""Relative: losses this near are the same."""
LOOKED_THROUGH = 500_000
"""Choices that are all looked at, which takes less time than an integer program."""
CHOICES_AT_ONCE = 20_000
INFEASIBLE = 2
"""How scipy's milp says so."""
SOLVER_ROUNDING = 1e-6
"""What HiGHS takes for nothing."""

Indices = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class KeptFew:
    """``kept`` candidates, the one that each device has, the weighted loss, and what no choice of as many is below."""

    kept: tuple[int, ...]
    of_device: tuple[int, ...]
    loss: float
    bound: float

    @property
    def proven(self) -> bool:
        """Whether no choice of as many is better, but for rounding."""
        return self.loss - self.bound <= SOLVER_ROUNDING * max(1.0, self.loss)


def fewest(losses: Floats, seconds: float) -> tuple[KeptFew | None, int]:
    """Candidates of which every device can have one, as few as there may be, and how few these are at least.

    None in place of the former where time ran out before any were found. Every device needs a finite loss.
    """
    if (of_all := np.flatnonzero(np.isfinite(losses).all(axis=0))).size:
        return assigned(losses, np.ones(len(losses)), of_all[:1], 0.0), 1
    useful = undominated(np.where(np.isfinite(losses), 0.0, np.inf))
    can = np.isfinite(losses[:, useful])
    rows = [(can.astype(float), 1.0, np.inf)]
    found = solved(np.ones(len(useful)), rows, np.ones(len(useful)), seconds)
    least = 1 if found.mip_dual_bound is None else int(np.ceil(found.mip_dual_bound - SOLVER_ROUNDING))
    if found.x is None:
        return None, max(1, least)
    kept = useful[found.x > 0.5]
    return assigned(losses, np.ones(len(losses)), kept, 0.0), max(1, least)


def choose_few(
    losses: Floats, weights: Floats, most: int, seconds: float, known: Sequence[KeptFew] = ()
) -> KeptFew | None:
    """At most so many candidates with the least weighted loss, and the bound that is proven in that time.

    ``known`` are choices to start from. None where neither these nor a search have a choice of at most so many.
    """
    until = time.monotonic() + seconds
    left = undominated(losses)
    small = losses[:, left]
    starts = [no_worse(losses, small, one.kept) for one in known if len(one.kept) <= most]
    best = better(small, weights, most, starts)
    relaxed = lagrangian(small, weights, most, best, until)
    if relaxed.best is None:
        return None
    value, kept = relaxed.best
    bound = min(relaxed.bound, value)
    if value - bound > SAME_LOSS * max(1.0, value):
        exact = close_gap(small, weights, most, relaxed, until)
        bound, kept = (max(bound, exact[0]), exact[1]) if exact is not None else (bound, kept)
    return assigned(losses, weights, left[kept], bound)


def assigned(losses: Floats, weights: Floats, kept: Indices, bound: float) -> KeptFew:
    """A choice in which each device has the best of these; those that no device has are not kept."""
    nearest = kept[losses[:, kept].argmin(axis=1)]
    loss = float(weights @ losses[np.arange(len(losses)), nearest])
    return KeptFew(tuple(sorted(set(nearest.tolist()))), tuple(nearest.tolist()), loss, min(bound, loss))


def no_worse(losses: Floats, small: Floats, kept: Sequence[int]) -> Indices:
    """For each of these candidates the place in ``small`` of one that is as good on every device."""
    found = [int((small <= losses[:, [place]]).all(axis=0).argmax()) for place in kept]
    return np.array(sorted(set(found)), dtype=np.intp)


def undominated(losses: Floats) -> Indices:
    """Candidates without another that has no greater loss on any device; of equals the first."""
    finite = np.isfinite(losses)
    worst = float(losses[finite].max(initial=0.0)) + 1.0
    # what is dominated comes behind what dominates it
    order = np.argsort(np.where(finite, losses, worst).sum(axis=0), kind="stable")
    order = order[finite[:, order].any(axis=0)]
    kept: list[int] = []
    table = np.empty((len(order), len(losses)))
    for place in order.tolist():
        column = losses[:, place]
        if not (table[: len(kept)] <= column).all(axis=1).any():
            table[len(kept)] = column
            kept.append(place)
    return np.array(sorted(kept), dtype=np.intp)


# -- good choices ------------------------------------------------------------------

ValuedChoice = tuple[float, Indices]
"""A weighted loss and the candidates that have it."""


def better(losses: Floats, weights: Floats, most: int, starts: Sequence[Indices]) -> ValuedChoice | None:
    """The best choice that exchanges lead to from these starts and from one built greedily; None where none serves all."""
    tried = [*starts, greedy(losses, weights, most)]
    found = [exchanged(losses, weights, most, kept) for kept in tried if serves(losses, kept)]
    return min(found, key=lambda one: one[0], default=None)


def serves(losses: Floats, kept: Indices) -> bool:
    return len(kept) > 0 and bool(np.isfinite(losses[:, kept]).any(axis=1).all())


def greedy(losses: Floats, weights: Floats, most: int) -> Indices:
    """One candidate after the other: what serves most devices that have none, then what loses least."""
    now, kept = np.full(len(losses), np.inf), list[int]()
    for _ in range(most):
        then = np.minimum(now[:, None], losses)
        without = (~np.isfinite(then)).sum(axis=0)
        loss = weights @ np.where(np.isfinite(then), then, 0.0)
        kept.append(int(np.lexsort((loss, without))[0]))
        now = np.minimum(now, losses[:, kept[-1]])
    return np.array(sorted(set(kept)), dtype=np.intp)


def exchanged(losses: Floats, weights: Floats, most: int, kept: Indices) -> ValuedChoice:
    """A choice that serves all devices, after all exchanges of one candidate that make it better."""
    chosen = kept.tolist()
    best = float(weights @ losses[:, chosen].min(axis=1))
    for _ in range(len(losses) * losses.shape[1]):
        found = min(exchanges(losses, weights, most, chosen), key=lambda one: one[0])
        if not found[0] < best * (1 - SAME_LOSS):
            break
        best, chosen = found
    return best, np.array(sorted(chosen), dtype=np.intp)


def exchanges(
    losses: Floats, weights: Floats, most: int, chosen: list[int]
) -> Iterator[tuple[float, list[int]]]:
    """The best candidate in place of each, or beside all where there may be more."""
    counted = weights > 0
    for i in range(len(chosen) + (len(chosen) < most)):
        rest = chosen[:i] + chosen[i + 1 :]
        others = losses[:, rest].min(axis=1, initial=np.inf)
        then = np.minimum(others[:, None], losses)
        value = weights[counted] @ then[counted]
        value[~np.isfinite(then).all(axis=0)] = np.inf
        place = int(value.argmin())
        yield float(value[place]), [*rest, place]


# -- the Lagrangian ----------------------------------------------------------------


@dataclass(frozen=True)
class Lagrangian:
    """The best choice met, the bound, and prices and savings that have it."""

    best: ValuedChoice | None
    bound: float
    prices: Floats
    saved: Floats


def lagrangian(
    losses: Floats, weights: Floats, most: int, best: ValuedChoice | None, until: float
) -> Lagrangian:
    """Prices that make the bound great, by subgradients, and choices that are met on the way."""
    finite = np.isfinite(losses)
    cost = np.where(finite, np.where(finite, losses, 0.0) * weights[:, None], np.inf)
    prices = second_least(cost)
    found = Lagrangian(best, -np.inf, prices, np.zeros(losses.shape[1]))
    length, since, tried = 2.0, 0, set[bytes]()
    for _ in range(PRICE_STEPS):
        gains = np.minimum(cost - prices[:, None], 0.0)
        saved = gains.sum(axis=0)
        open_now = np.argsort(saved, kind="stable")[:most]
        bound = float(prices.sum() + saved[open_now].sum())
        since += 1
        if bound > found.bound + SAME_LOSS:
            found, since = Lagrangian(best, bound, prices, saved), 0
        kept = np.sort(open_now)
        if kept.tobytes() not in tried and serves(losses, kept):
            tried.add(kept.tobytes())
            value = float(weights @ losses[:, kept].min(axis=1))
            if best is None or value < best[0] * WORTH_EXCHANGES:
                one = exchanged(losses, weights, most, kept)
                best = one if best is None or one[0] < best[0] else best
        slope = 1.0 - (gains[:, open_now] < 0).sum(axis=1)
        top = best[0] if best is not None else max(2 * found.bound, 1.0)
        if not slope.any() or top - found.bound <= SAME_LOSS * max(1.0, top) or time.monotonic() > until:
            break
        if since > PATIENCE:
            length, since, prices = length / 2, 0, found.prices
            continue
        prices = prices + length * (top - bound) / float(slope @ slope) * slope
    return Lagrangian(best, found.bound, found.prices, found.saved)


def second_least(cost: Floats) -> Floats:
    """What a device would pay at least for its second best, or best, candidate: where prices begin."""
    few = np.sort(np.where(np.isfinite(cost), cost, np.nan), axis=1)[:, :2]
    return np.asarray(np.where(np.isfinite(few[:, -1]), few[:, -1], few[:, 0]))


# -- what is left ------------------------------------------------------------------


def close_gap(
    losses: Floats, weights: Floats, most: int, relaxed: Lagrangian, until: float
) -> tuple[float, Indices] | None:
    """What no choice is below, and the best one; None where there was no time for it."""
    assert relaxed.best is not None
    top, known = relaxed.best
    useful = np.flatnonzero(relaxed.bound + dearer(relaxed.saved, most) <= top)
    cost = np.where(np.isfinite(losses[:, useful]), losses[:, useful], 0.0) * weights[:, None]
    # nor does a better choice have a pair that alone loses more
    can = np.isfinite(losses[:, useful]) & (cost <= top * (1 + SAME_LOSS) + SAME_LOSS)
    if not can.any(axis=1).all():
        return top, known
    most = min(most, len(useful))
    if math.comb(len(useful), most) <= LOOKED_THROUGH:
        value, kept = looked_through(np.where(can, cost, np.inf), most)
        return (value, useful[kept]) if value < top else (top, known)
    if until - time.monotonic() <= 0:
        return None
    bound, found = programmed(cost, can, most, until - time.monotonic())
    if found is not None:
        value = float(weights @ losses[:, useful[found]].min(axis=1))
        top, known = (value, useful[found]) if value < top else (top, known)
    return min(bound, top), known


def dearer(saved: Floats, most: int) -> Floats:
    """By how much the bound is greater where a candidate must be kept, which it then is in place of the last one that is."""
    last = np.sort(saved)[min(most, len(saved)) - 1]
    return np.asarray(np.maximum(saved - last, 0.0))


def looked_through(cost: Floats, most: int) -> ValuedChoice:
    """The least sum of any choice of so many candidates."""
    best, kept = np.inf, np.arange(most)
    every = itertools.combinations(range(cost.shape[1]), most)
    while len(some := np.array(list(itertools.islice(every, CHOICES_AT_ONCE)), dtype=np.intp)):
        least = cost[:, some[:, 0]]
        for column in some.T[1:]:
            least = np.minimum(least, cost[:, column])
        sums = least.sum(axis=0)
        place = int(sums.argmin())
        if sums[place] < best:
            best, kept = float(sums[place]), some[place]
    return best, kept


def programmed(cost: Floats, can: Mask, most: int, seconds: float) -> tuple[float, Indices | None]:
    """What no choice with these pairs is below, infinite where there is none, and the best that was found."""
    from scipy.sparse import coo_array, csr_array, eye_array, hstack

    device, candidate = np.nonzero(can)
    (n, m), pairs = can.shape, len(device)
    here = np.arange(pairs)
    each_has = coo_array((np.ones(pairs), (device, here)), shape=(n, pairs))
    of_kept = coo_array((np.ones(pairs), (here, candidate)), shape=(pairs, m))
    is_kept = np.concatenate([np.ones(m), np.zeros(pairs)])
    rows = [
        (hstack([csr_array((n, m)), each_has]), 1.0, 1.0),
        (hstack([of_kept, -eye_array(pairs)]), 0.0, np.inf),
        (is_kept[None], 0.0, float(most)),
    ]
    found = solved(np.concatenate([np.zeros(m), cost[device, candidate]]), rows, is_kept, seconds)
    if found.status == INFEASIBLE:
        return np.inf, None
    bound = -np.inf if found.mip_dual_bound is None else float(found.mip_dual_bound)
    return bound, np.flatnonzero(found.x[:m] > 0.5) if found.x is not None else None


def solved(gain: Floats, rows: Sequence[tuple[Any, float, float]], whole: Floats, seconds: float) -> Any:
    """What HiGHS makes of a program to minimise, whose variables are from 0 to 1."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    constraints = [LinearConstraint(csr_array(matrix), low, high) for matrix, low, high in rows]
    return milp(
        gain, integrality=whole.astype(int), bounds=Bounds(0, 1), constraints=constraints,
        options={"time_limit": seconds, "mip_rel_gap": 0.0},
    )  # fmt: skip
