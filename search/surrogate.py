"""Accuracy of archs never measured, with its uncertainty, from the few that were.

A Gaussian process with a squared-exponential kernel (Rasmussen & Williams,
2006, chapters 2 and 5). Three findings on 1,203 measured ImageNet subnets
shaped the features: "at least this choice" columns beat one-hot ones, since
choices ascend; the logarithm of the costs is worth a higher weight than any
choice; products of kernel and expand ratio cost more than they tell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search.problem import Floats
from supernet.space import Codes, SearchSpace

LENGTH_SCALES = (0.7, 1.0, 1.5, 2.5, 4.0)
"""In units of the root mean square distance of a measured arch from their mean."""

NOISES = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Variance of the measuring noise relative to the kernel's; 0.3 points of 2 are about 0.02."""

COST_WEIGHT = 3.0
"""Standard deviation of the log cost columns; a choice's column has at most 0.5."""

LEAST_SPREAD = 1e-6
"""Keeps a division defined where all measured accuracies or costs are equal."""


def features(space: SearchSpace, codes: Codes, totals: Floats) -> Floats:
    """Shape (n, features): ``code >= v`` of each choice, 0 where skipped, then log costs.

    ``totals`` are the costs of the codes, shape (n, costs), all positive.
    """
    active = space.active(codes)
    columns = [
        active[:, column] & (codes[:, column] >= choice)
        for column, d in enumerate(space.dimensions)
        for choice in range(0 if d.needs else 1, len(d.choices))
    ]
    logs = np.log(np.maximum(totals, np.finfo(np.float64).tiny))
    return np.concatenate([np.array(columns, dtype=np.float64).reshape(-1, len(codes)).T, logs], axis=1)


@dataclass(frozen=True)
class Surrogate:
    """A fitted Gaussian process; rows are features as given to :func:`fit`."""

    centre: Floats
    scale: Floats
    length: float
    noise: float
    rows: Floats
    targets: Floats
    level: float
    spread: float
    inverse: Floats
    weights: Floats

    def predict(self, rows: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the noise-free accuracy, each of shape (n,)."""
        kernel = similarity((rows - self.centre) * self.scale, self.rows, self.length)
        mean = self.level + self.spread * (kernel @ self.weights)
        amplitude = float(self.targets @ self.weights) / len(self.targets)
        left = 1.0 - np.einsum("ij,ij->i", kernel @ self.inverse, kernel)
        return mean, self.spread * np.sqrt(amplitude * np.maximum(left, 1e-9))

    def believe(self, rows: Floats) -> Surrogate:
        """As if ``rows`` had been measured at their predicted means, so that they are not asked for again."""
        targets = (self.predict(rows)[0] - self.level) / self.spread
        both = np.concatenate([self.rows, (rows - self.centre) * self.scale])
        inverse = inverted(similarity(both, both, self.length), self.noise)
        known = np.concatenate([self.targets, targets])
        return Surrogate(
            self.centre, self.scale, self.length, self.noise, both, known,
            self.level, self.spread, inverse, inverse @ known,
        )  # fmt: skip


def fit(rows: Floats, accuracy: Floats, n_costs: int = 0) -> Surrogate:
    """The surrogate of measured accuracies (n,) of features (n, k) whose last ``n_costs`` are log costs.

    Length scale and noise are those of the greatest marginal likelihood.
    """
    centre, deviation = rows.mean(axis=0), rows.std(axis=0)
    scale = np.ones(rows.shape[1])
    if n_costs:
        scale[-n_costs:] = COST_WEIGHT / np.sqrt(n_costs) / np.maximum(deviation[-n_costs:], LEAST_SPREAD)
    radius = np.sqrt(((deviation * scale) ** 2).sum())
    scale /= max(float(radius), LEAST_SPREAD)
    near = (rows - centre) * scale
    level, spread = float(accuracy.mean()), max(float(accuracy.std()), LEAST_SPREAD)
    targets = (accuracy - level) / spread
    tried = []
    for length in LENGTH_SCALES:
        kernel = similarity(near, near, length)
        tried += [(likelihood(kernel, targets, noise), length, noise) for noise in NOISES]
    _, length, noise = max(tried)
    inverse = inverted(similarity(near, near, length), noise)
    return Surrogate(
        centre, scale, length, noise, near, targets, level, spread, inverse, inverse @ targets
    )  # fmt: skip


def similarity(a: Floats, b: Floats, length: float) -> Floats:
    """exp(-|a - b|^2 / (2 length^2)), shape (rows of a, rows of b)."""
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.asarray(np.exp(-np.maximum(squares, 0) / (2 * length**2)))


def inverted(kernel: Floats, noise: float) -> Floats:
    return np.asarray(np.linalg.inv(kernel + noise * np.eye(len(kernel))), dtype=np.float64)


def likelihood(kernel: Floats, targets: Floats, noise: float) -> float:
    """Logarithm of the marginal likelihood, the best amplitude put in, up to a constant."""
    from scipy.linalg import solve_triangular

    root = np.linalg.cholesky(kernel + noise * np.eye(len(targets)))
    white = solve_triangular(root, targets, lower=True, check_finite=False)
    n, energy = len(targets), float(white @ white)
    return float(-0.5 * n * np.log(max(energy / n, 1e-12)) - np.log(np.diag(root)).sum())
