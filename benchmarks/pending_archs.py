"""Ways to treat archs that other workers are still evaluating, for ``parallel_proposals.py``. One function each.

Given are the surrogate of what has ended, features of the ``m`` pending archs (m, k) and random numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.special import ndtr

from search.proposing.acquisition import reached
from search.proposing.pending import Outlook, Pending, believed
from search.proposing.surrogate import Surrogate
from supernet.arrays import Floats

FEATURES = 512
"""Random features (Rahimi & Recht, 2007) of a draw of the process."""
STEEP = 0.9
"""The steepness that local penalisation assumes is this quantile of those between pairs of measured archs."""


def ignored(surrogate: Surrogate, rows: Floats, rng: np.random.Generator) -> Outlook:
    """As if nothing were pending; the same arch is not proposed twice."""
    return Outlook(surrogate, counts=False)


def unsure(surrogate: Surrogate, rows: Floats, rng: np.random.Generator) -> Outlook:
    """Believed, but deviations shrink near pending archs alone: what came as expected makes all of them seem smaller."""
    measured = len(surrogate.rows)
    return Outlook(Wider(surrogate.believe(rows), float(np.sqrt((measured + len(rows)) / measured))))


@dataclass(frozen=True)
class Wider:
    """A surrogate whose deviations are ``factor`` times as great."""

    surrogate: Surrogate
    factor: float

    def predict(self, rows: Floats) -> tuple[Floats, Floats]:
        mean, std = self.surrogate.predict(rows)
        return mean, self.factor * std


def liar(
    lie: Callable[[Floats], float], surrogate: Surrogate, rows: Floats, rng: np.random.Generator
) -> Outlook:
    """As if each had the least, the mean or the greatest of the measured accuracies (Ginsbourger et al., 2010)."""
    return Outlook(surrogate.told(rows, np.full(len(rows), lie(surrogate.targets))))


def imagined(surrogate: Surrogate, rows: Floats, rng: np.random.Generator) -> Outlook:
    """As if each had an accuracy drawn from what is expected of all together (Snoek et al., 2012)."""
    near = surrogate.scaling.near(rows)
    kernel = surrogate.shape.kernel(near, surrogate.rows)
    mean = kernel @ surrogate.inverse @ surrogate.targets
    left = surrogate.shape.kernel(near, near) - kernel @ surrogate.inverse @ kernel.T
    values, vectors = np.linalg.eigh(amplitude(surrogate) * left)
    drawn = vectors @ (np.sqrt(np.maximum(values, 0)) * rng.normal(size=len(rows)))
    return Outlook(surrogate.told(rows, mean + drawn))


def penalised(surrogate: Surrogate, rows: Floats, rng: np.random.Generator) -> Outlook:
    """An improvement counts less the nearer a pending arch is (Gonzalez et al., 2016).

    What is best is that of archs that cost no more, as on a front; the last feature is the logarithm of the cost.
    """
    near = surrogate.scaling.near(rows)
    mean, std = ((values - level) / surrogate.scaling.spread for values, level in zip(
        surrogate.predict(rows), (surrogate.scaling.level, 0.0), strict=True))  # fmt: skip
    best = np.maximum(reached(surrogate.targets, surrogate.rows[:, -1:], near[:, -1:]), mean)
    pairs = np.triu_indices(len(surrogate.rows), 1)
    rises = np.abs(surrogate.targets[pairs[0]] - surrogate.targets[pairs[1]])
    steep = np.quantile(rises / np.maximum(distances(surrogate.rows, surrogate.rows)[pairs], 1e-6), STEEP)

    def weight(others: Floats) -> Floats:
        apart = distances(surrogate.scaling.near(others), near)
        return np.asarray(ndtr((steep * apart - best + mean) / std).prod(axis=1) + 1e-12)

    return Outlook(surrogate, counts=False, weight=weight)


def distances(a: Floats, b: Floats) -> Floats:
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.asarray(np.sqrt(np.maximum(squares, 0)))


@dataclass(frozen=True)
class Draw:
    """A function drawn from a surrogate, by Matheron's rule (Wilson et al., 2020): a draw of the prior, corrected.

    ``boldness`` is how much of its deviation from the mean is kept. Weights are of random features and of the linear part.
    """

    surrogate: Surrogate
    boldness: float
    frequencies: Floats
    phases: Floats
    weights: Floats
    slopes: Floats
    noise: Floats

    def prior(self, near: Floats) -> Floats:
        waves = np.sqrt(2 / FEATURES) * np.cos(near @ self.frequencies + self.phases) @ self.weights
        found = waves + np.sqrt(self.surrogate.shape.linear) * (near @ self.slopes)
        return np.asarray(np.sqrt(amplitude(self.surrogate)) * found)

    def predict(self, rows: Floats) -> tuple[Floats, Floats]:
        surrogate, near = self.surrogate, self.surrogate.scaling.near(rows)
        mean, std = surrogate.predict(rows)
        wrong = surrogate.inverse @ (self.prior(surrogate.rows) + self.noise)
        deviation = self.prior(near) - surrogate.shape.kernel(near, surrogate.rows) @ wrong
        # the draw is certain; a little of the deviation keeps an improvement positive everywhere
        return mean + self.boldness * surrogate.scaling.spread * deviation, 1e-3 * std


def drawn(boldness: float, surrogate: Surrogate, rows: Floats, rng: np.random.Generator) -> Outlook:
    """What is expected is drawn anew for each proposal: Thompson sampling."""
    k, noise = surrogate.rows.shape[1], amplitude(surrogate) * surrogate.shape.noise * surrogate.noise
    draw = Draw(
        surrogate, boldness, rng.normal(size=(k, FEATURES)) / surrogate.shape.length,
        rng.uniform(0, 2 * np.pi, FEATURES), rng.normal(size=FEATURES), rng.normal(size=k),
        np.sqrt(noise) * rng.normal(size=len(noise)),
    )  # fmt: skip
    return Outlook(draw, counts=False)


def amplitude(surrogate: Surrogate) -> float:
    """The most likely variance of scaled accuracies."""
    return float(surrogate.targets @ surrogate.inverse @ surrogate.targets) / len(surrogate.targets)


CHOSEN = "believed"
"""What ``guided`` does."""

TREATMENTS: Mapping[str, Pending] = {
    CHOSEN: believed,
    "believed, unsure": unsure,
    "ignored": ignored,
    "least": partial(liar, np.min), "mean": partial(liar, np.mean), "greatest": partial(liar, np.max),
    "imagined": imagined,
    "penalised": penalised,
    "drawn": partial(drawn, 1.0), "drawn, a tenth": partial(drawn, 0.1),
}  # fmt: skip
