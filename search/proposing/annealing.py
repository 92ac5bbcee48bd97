"""Simulated annealing that looks before it leaps: many chains side by side, led by the predictor's slopes.

A predictor of accuracy is rugged: archs that no single change improves differ in half of their choices and by
half a point. A chain that now and then accepts a worse arch gets out of them (Kirkpatrick et al., 1983), but
nearly all changes that are drawn blindly are bad ones. The slopes tell of all of them at the price of one
prediction, so a chain draws many steps of changes that seem good for what they cost, keeps those within its limits,
and chooses among them with the probabilities that the estimates give (locally informed proposals: Zanella, 2020;
Grathwohl et al., 2021; changes are drawn with the square root of these, which Zanella calls balanced).
Only the chosen one is predicted, and accepted or not by what is predicted and not by the estimate.

Notation, for ``n`` chains in a space of ``d`` dimensions with ``m`` choices together, and ``k`` costs:

==============  =================  ==============================================================
``codes``       (n, d)             where each chain stands
``good``        (n,)               its predicted accuracy
``totals``      (n, k)             its costs
``gains``       (n, m)             what each single change adds to its accuracy, as the slopes tell
``costs``       (n, m, k)          what each adds to its costs (:mod:`search.proposing.changes`)
``drawn``       (n, tries, 4)      steps of up to four changes, by their places
``heat``        scalar             accuracy that a chain readily loses in a step
==============  =================  ==============================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from search.problem.problem import Problem
from search.proposing.changes import Places, SingleChanges
from supernet.archs.space import Codes, SearchSpace
from supernet.arrays import Floats, Slopes, SlopesOf

Slope = Callable[[Codes], tuple[Floats, SlopesOf]]
"""Codes (n, dimensions) -> how good they are, shape (n,), and the slopes of those that are asked for."""


@dataclass(frozen=True)
class Cooling:
    """How long and how hot.

    ``chains`` says how many are left from which share of the ``steps`` on: the best so far go on, the ``least`` best
    of each resolution first. Heat is in units of what a single change does: the root mean
    square of the gains that slopes tell where the chains begin; it falls evenly in its logarithm. ``tries`` steps of one
    to ``changes`` changes are drawn, with ``bias`` / heat times what a change gains as the logarithm of its probability.
    """

    steps: int = 400
    chains: tuple[tuple[float, int], ...] = ((0.0, 64), (0.25, 24))
    tries: int = 16
    changes: int = 4
    hot: float = 0.24
    cold: float = 0.07
    least: int = 0
    bias: float = 0.5

    def heat(self, step: int) -> float:
        """In units of what a single change does."""
        return float(self.hot * (self.cold / self.hot) ** (step / max(1, self.steps - 1)))


@dataclass(frozen=True)
class Chains:
    """Where all chains stand, and the best that each has met."""

    codes: Codes
    good: Floats
    totals: Floats
    gains: Floats
    costs: Floats
    best: Codes
    best_good: Floats

    def __getitem__(self, rows: Places) -> Chains:
        return Chains(
            self.codes[rows], self.good[rows], self.totals[rows], self.gains[rows], self.costs[rows],
            self.best[rows], self.best_good[rows],
        )  # fmt: skip

    def move(
        self, singles: SingleChanges, rows: Places, codes: Codes, good: Floats, totals: Floats, slopes: Slopes
    ) -> None:
        """Some chains, ``rows`` (m,), now stand at other codes (m, dimensions)."""
        self.codes[rows], self.good[rows], self.totals[rows] = codes, good, totals
        self.gains[rows], self.costs[rows] = singles.gains(slopes, codes), singles.costs(codes, totals)
        better = good > self.best_good[rows]
        self.best[rows[better]], self.best_good[rows[better]] = codes[better], good[better]


def anneal(
    problem: Problem, slope: Slope, start: Codes, rng: np.random.Generator, cooling: Cooling
) -> Iterator[Codes]:
    """Whenever chains are given up, and at the end: the best that each of them has met, the best first.

    Codes (chains, dimensions). Whoever asks for no more ends the search.
    ``start``, canonical codes (n, dimensions) within the budgets, n > 0: one chain each, at most as many as
    ``cooling`` begins with.
    """
    space, left = problem.space, {int(share * cooling.steps): n for share, n in cooling.chains}
    singles = SingleChanges(problem)
    start = start[: left[0]].copy()
    good, slopes_of = slope(start)
    slopes = slopes_of(np.arange(len(start)))
    totals = problem.totals(start)
    chains = Chains(
        start,
        good,
        totals,
        singles.gains(slopes, start),
        singles.costs(start, totals),
        start.copy(),
        good.copy(),
    )
    unit = typical(chains.gains)
    for step in range(cooling.steps):
        if step in left and step:
            chains = chains[ranks(chains)]
            yield chains.best
            chains = chains[those_left(space, chains.best, cooling, left[step])]
        advance(singles, slope, chains, unit * cooling.heat(step), rng, cooling)
    yield chains.best[ranks(chains)]


def ranks(chains: Chains) -> Places:
    """Rows of the chains, the one that has met the best first."""
    return np.argsort(-chains.best_good, kind="stable")


def those_left(space: SearchSpace, best: Codes, cooling: Cooling, count: int) -> Places:
    """Rows of the ``count`` chains that go on, of what they have met, ``best`` (n, dimensions), the best first."""
    first = np.zeros(len(best), dtype=np.bool_)
    column = space.index.get("resolution")
    if column is not None:
        for code in np.unique(best[:, column]):
            first[np.flatnonzero(best[:, column] == code)[: cooling.least]] = True
    return np.sort(np.argsort(~first, kind="stable")[:count])


def advance(
    singles: SingleChanges,
    slope: Slope,
    chains: Chains,
    heat: float,
    rng: np.random.Generator,
    cooling: Cooling,
) -> None:
    """One step of all chains."""
    problem = singles.problem
    drawn = changes_drawn(singles, chains, heat, rng, cooling)
    gains, costs = added(chains.gains, drawn), added(chains.costs, drawn)
    possible = np.all(costs <= (problem.limits - chains.totals)[:, None], axis=2)
    # Gumbel noise makes the largest a draw with probabilities proportional to exp(gain / heat)
    lot = np.where(possible, gains / heat + gumbel(gains.shape, rng), -np.inf)
    winner, rows = lot.argmax(axis=1), np.flatnonzero(np.any(possible, axis=1))
    chosen = singles.made(chains.codes[rows], drawn[rows, winner[rows]])
    totals = problem.totals(chosen)
    # changes that meet in a layer cost otherwise than their sum
    inside = np.all(totals <= problem.limits, axis=1)
    rows, chosen, totals = rows[inside], chosen[inside], totals[inside]
    if not len(rows):
        return
    good, slopes_of = slope(chosen)
    accepted = np.flatnonzero((good - chains.good[rows]) / heat > np.log(rng.random(len(rows))))
    if len(accepted):
        chains.move(
            singles, rows[accepted], chosen[accepted], good[accepted], totals[accepted], slopes_of(accepted)
        )


def changes_drawn(
    singles: SingleChanges, chains: Chains, heat: float, rng: np.random.Generator, cooling: Cooling
) -> Places:
    """Steps of in turn one to some changes, places of single ones and behind them none: (n, tries, changes)."""
    n, m = chains.gains.shape
    ends = np.cumsum(chances(chains.gains, chains.costs, heat / cooling.bias), axis=1)
    ends = ends / ends[:, -1:] + np.arange(n)[:, None]
    # from 0 to a little less than 1 of each chain, so that rounding leads to no other chain
    lots = (1 - 1e-9) * rng.random((n, cooling.tries * cooling.changes)) + np.arange(n)[:, None]
    found = np.searchsorted(ends.ravel(), lots.ravel(), side="right").reshape(n, -1)
    drawn: Places = found - m * np.arange(n)[:, None]
    drawn = drawn.reshape(n, cooling.tries, cooling.changes)
    many = np.resize(np.arange(1, cooling.changes + 1), cooling.tries)
    drawn[:, np.arange(cooling.changes) >= many[:, None]] = m
    of = np.append(singles.dimensions, -1)[drawn]
    for i in range(cooling.changes - 1):  # of two changes of a dimension the later one counts
        drawn[:, :, i][(of[:, :, i, None] == of[:, :, i + 1 :]).any(axis=2)] = m
    return drawn


def chances(gains: Floats, costs: Floats, heat: float) -> Floats:
    """How likely each change is drawn: exp((gain - price of its costs) / heat), 0 for none; (n, m).

    The price of a cost is what a unit of it brings, by least squares over the changes of an arch: without it, what
    gains would nearly always be over the budget, and what pays for it would never be drawn.
    """
    there = gains > -np.inf
    gains = np.where(there, gains, 0)
    costs = costs * there[:, :, None]
    squares = np.maximum((costs * costs).sum(axis=1), np.finfo(np.float64).tiny)
    price = np.maximum((gains[:, :, None] * costs).sum(axis=1) / squares, 0)
    net = gains - (costs * price[:, None]).sum(axis=2)
    return np.where(there, np.exp((net - net.max(axis=1, keepdims=True)) / heat), 0)


def added(values: Floats, drawn: Places) -> Floats:
    """The sum of what several changes add, of ``values`` (n, m, ...) at ``drawn`` (n, tries, changes), m for none; (n, tries, ...)."""
    n, m, *rest = values.shape
    row = np.concatenate([values, np.zeros((n, 1, *rest), values.dtype)], axis=1).reshape(n * (m + 1), *rest)
    return np.asarray(row[drawn + (m + 1) * np.arange(n)[:, None, None]].sum(axis=2))


def gumbel(shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    return np.asarray(-np.log(rng.standard_exponential(shape)), dtype=np.float64)


def typical(gains: Floats) -> float:
    """What a single change does to the accuracy, the root mean square over all that count; more than 0."""
    gains = gains[gains > -np.inf]
    return max(float(np.sqrt(np.mean(np.square(gains, dtype=np.float64)))), LEAST) if len(gains) else LEAST


LEAST = 1e-9
"""Keeps a division defined where nothing changes the accuracy."""
