"""Simulated annealing that looks before it leaps: many chains side by side, led by the predictor's slopes.

A predictor of accuracy is rugged: archs that no single change improves differ in half of their choices and by
half a point. A chain that now and then accepts a worse arch gets out of them (Kirkpatrick et al., 1983), but
nearly all changes that are drawn blindly are bad ones. The slopes tell of all of them at the price of one
prediction, so a chain draws many changes, keeps those within its limits, and chooses among them with the
probabilities that the estimates give (locally informed proposals: Zanella, 2020; Grathwohl et al., 2021).
Only the chosen one is predicted, and accepted or not by what is predicted and not by the estimate.

Notation, for ``n`` chains in a space of ``d`` dimensions with at most ``c`` choices:

==============  =================  ==============================================================
``codes``       (n, d)             where each chain stands
``good``        (n,)               its predicted accuracy
``slopes``      (n, d, c)          what each choice adds there (:data:`Slopes`)
``parts``       (n,)               the sum of the slopes of its own choices
``drawn``       (n * tries, d)     changed archs, ``tries`` of each chain one after the other
``heat``        scalar             accuracy that a chain readily loses in a step
==============  =================  ==============================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search.problem.problem import Problem
from supernet.arrays import Floats, Slopes, SlopesOf
from supernet.space import Codes, SearchSpace

Slope = Callable[[Codes], tuple[Floats, SlopesOf]]
"""Codes (n, dimensions) -> how good they are, shape (n,), and the slopes of those that are asked for."""

Places = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Cooling:
    """How long and how hot.

    ``chains`` says how many are left from which share of the ``steps`` on: the best so far go on, the ``least`` best
    of each resolution first. Heat is in units of what a single change does: the root mean
    square of the differences of slopes where the chains begin; it falls evenly in its logarithm.
    """

    steps: int = 400
    chains: tuple[tuple[float, int], ...] = ((0.0, 64), (0.25, 24))
    tries: int = 32
    changes: int = 4
    hot: float = 0.24
    cold: float = 0.07
    least: int = 0

    def heat(self, step: int) -> float:
        """In units of what a single change does."""
        return float(self.hot * (self.cold / self.hot) ** (step / max(1, self.steps - 1)))


@dataclass(frozen=True)
class Chains:
    """Where all chains stand, and the best that each has met."""

    codes: Codes
    good: Floats
    slopes: Slopes
    parts: Floats
    best: Codes
    best_good: Floats

    def __getitem__(self, rows: npt.NDArray[np.intp]) -> Chains:
        return Chains(
            self.codes[rows], self.good[rows], self.slopes[rows], self.parts[rows], self.best[rows],
            self.best_good[rows],
        )  # fmt: skip

    def move(self, rows: Places, codes: Codes, good: Floats, slopes: Slopes, space: SearchSpace) -> None:
        """Some chains, ``rows`` (m,), now stand at other codes (m, dimensions)."""
        self.codes[rows], self.good[rows], self.slopes[rows] = codes, good, slopes
        self.parts[rows] = summed(slopes, np.arange(len(rows)), codes, space.active(codes))
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
    start = start[: left[0]].copy()
    good, slopes_of = slope(start)
    slopes = slopes_of(np.arange(len(start)))
    parts = summed(slopes, np.arange(len(start)), start, space.active(start))
    chains = Chains(start.copy(), good, slopes, parts, start, good.copy())
    unit = typical(space, chains)
    for step in range(cooling.steps):
        if step in left and step:
            chains = chains[ranks(chains)]
            yield chains.best
            chains = chains[those_left(space, chains.best, cooling, left[step])]
        advance(problem, slope, chains, unit * cooling.heat(step), rng, cooling)
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
    problem: Problem, slope: Slope, chains: Chains, heat: float, rng: np.random.Generator, cooling: Cooling
) -> None:
    """One step of all chains."""
    space, n, tries = problem.space, len(chains.codes), cooling.tries
    owner = np.repeat(np.arange(n), tries)
    drawn = changed(space, chains.codes, owner, cooling.changes, rng)
    counts = space.active(drawn)
    drawn = np.asarray(drawn * counts, dtype=np.int16)
    gains = summed(chains.slopes, owner, drawn, counts) - chains.parts[owner]
    # Gumbel noise makes the largest a draw with probabilities proportional to exp(gain / heat)
    lot = gains / heat + gumbel(len(drawn), rng)
    # whoever stays where it is would win at low heat
    lot[~(problem.within(drawn) & (drawn != chains.codes[owner]).any(axis=1))] = -np.inf
    lot = lot.reshape(n, tries)
    winner = lot.argmax(axis=1)
    rows = np.flatnonzero(lot[np.arange(n), winner] > -np.inf)
    if not len(rows):
        return
    chosen = drawn[rows * tries + winner[rows]]
    good, slopes_of = slope(chosen)
    accepted = np.flatnonzero((good - chains.good[rows]) / heat > np.log(rng.random(len(rows))))
    if len(accepted):
        chains.move(rows[accepted], chosen[accepted], good[accepted], slopes_of(accepted), space)


def changed(space: SearchSpace, codes: Codes, owner: Places, most: int, rng: np.random.Generator) -> Codes:
    """The arch ``owner`` (m,) of canonical ``codes`` with choices drawn anew, in turn 1 to ``most`` of them; (m, dimensions).

    Only choices that count in the arch are drawn; what comes back is not canonical.
    """
    sizes = space.sizes.astype(np.intp)
    elastic = space.active(codes) & (sizes > 1)
    count, first = elastic.sum(axis=1), np.argsort(~elastic, axis=1, kind="stable")
    many = np.resize(np.arange(1, most + 1), len(owner))
    rows = np.repeat(np.arange(len(owner)), many)
    own = owner[rows]
    columns = first[own, (rng.random(len(rows)) * count[own]).astype(np.intp)]
    # a step of at least 1 and less than the size, round the corner: any other choice, each as likely
    steps = 1 + (rng.random(len(rows)) * (sizes[columns] - 1)).astype(np.intp)
    drawn = codes[owner]
    drawn[rows, columns] = (drawn[rows, columns] + steps) % sizes[columns]
    return drawn


def summed(slopes: Slopes, owner: Places, codes: Codes, counts: npt.NDArray[np.bool_]) -> Floats:
    """Of codes (m, dimensions) near the arch ``owner`` (m,): the slopes of their choices that count, added; (m,)."""
    _, dimensions, choices = slopes.shape
    places = codes + (np.arange(dimensions) * choices + owner[:, None] * (dimensions * choices))
    return np.asarray(np.einsum("ij,ij->i", slopes.reshape(-1)[places], counts), dtype=np.float64)


def gumbel(count: int, rng: np.random.Generator) -> Floats:
    return np.asarray(-np.log(rng.standard_exponential(count)), dtype=np.float64)


def typical(space: SearchSpace, chains: Chains) -> float:
    """What a single change does to the accuracy, the root mean square over all that count; more than 0."""
    own = np.take_along_axis(chains.slopes, chains.codes[:, :, None].astype(np.intp), axis=2)
    there = np.arange(chains.slopes.shape[2]) < space.sizes[:, None]
    other = there & space.active(chains.codes)[:, :, None]
    other &= np.arange(chains.slopes.shape[2]) != chains.codes[:, :, None]
    differences = (chains.slopes - own)[other]
    return (
        max(float(np.sqrt(np.mean(np.square(differences, dtype=np.float64)))), LEAST)
        if len(differences)
        else LEAST
    )


LEAST = 1e-9
"""Keeps a division defined where nothing changes the accuracy."""
