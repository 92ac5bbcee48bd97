"""Accuracy of archs never measured, with its uncertainty, from the few that were.

A Gaussian process with a squared-exponential and a linear kernel (Rasmussen & Williams,
2006, chapters 2, 4 and 5). Three findings on 1,203 measured ImageNet subnets
shaped the features: "at least this choice" columns beat one-hot ones, since
choices ascend; the logarithm of the costs is worth a higher weight than any
choice; products of kernel and expand ratio cost more than they tell.

Notation, for ``n`` measured archs, ``m`` others, and ``k`` features:

==============  =============  ==========================================================================
``rows``        (n, k)         features; ``near`` are the same, centred and scaled (:class:`Scaling`)
``targets``     (n,)           accuracies, less their mean, in units of their spread
``K``           (n, n)         kernel of the measured archs: ``exp(-|a-b|^2 / 2 length^2) + linear a.b``
``noise``       (n,)           multiples of the noise's variance ``shape.noise``, relative to the kernel's
``inverse``     (n, n)         ``(K + diag(shape.noise * noise))^-1``
``weights``     (n,)           ``inverse @ targets``; the mean of others is ``kernel @ weights``
``kernel``      (m, n)         kernel of others with the measured ones
``amplitude``   scalar         variance by which ``K`` is to be multiplied: ``targets @ weights / n``
==============  =============  ==========================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from supernet.archs.space import Codes, SearchSpace
from supernet.archs.steps import grouped_places, skipped_as_negative, steps_of, summing
from supernet.arrays import Floats

LENGTH_SCALES = (0.7, 1.0, 1.5, 2.5, 4.0)
"""In units of the root mean square distance of a measured arch from their mean."""

NOISES = (0.001, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Variance of the measuring noise relative to the kernel's; 0.3 points of 2 are about 0.02."""

LINEAR = (0.0, 1.0)
"""Variance of the linear kernel relative to the squared-exponential's."""

COST_WEIGHT = 3.0
"""Standard deviation of the log cost columns; a choice's column has at most 0.5."""

LEAST_SPREAD = 1e-6
"""Keeps a division defined where all measured accuracies or costs are equal."""


def features_of_archs(space: SearchSpace, codes: Codes, totals: Floats) -> Floats:
    """Shape (n, features): ``code >= v`` of each choice, 0 where skipped, sums of these, then log costs.

    What a larger kernel does in one block it tends to do in others: the same step is summed over the
    blocks of each stage and over all, scaled so that n independent steps vary like one. ``totals`` are
    the costs of the codes, shape (n, costs), all positive.
    """
    # what is skipped takes no step, not even the first, so that it is told from a block with its least choice
    steps = steps_of(space).taken(skipped_as_negative(space, codes)).astype(np.float64)
    return np.concatenate([steps, steps @ sums_of_steps(space), logs(totals)], axis=1)


def logs(totals: Floats) -> Floats:
    """Natural logarithms of costs, of the same shape; of what is not positive, that of the least number."""
    return np.asarray(np.log(np.maximum(totals, np.finfo(np.float64).tiny)))


@lru_cache(maxsize=16)
def sums_of_steps(space: SearchSpace) -> Floats:
    """Which steps are summed, shape (steps, sums): the same one of all blocks, and of the blocks of each stage."""
    steps, keys = steps_of(space), []
    for column, code in zip(steps.dimensions, steps.codes, strict=True):
        kind, _, place = space.dimensions[column].name.partition(".")
        keys += [(kind, str(code)), (kind, str(code), place.partition(".")[0])]
    # two keys a step, one after the other
    groups = [[place // 2 for place in members] for members in grouped_places(keys)]
    return summing([members for members in groups if len(members) > 1], len(steps.codes)).T


@dataclass(frozen=True)
class Shape:
    """What a surrogate's kernel looks like: its length scale, its linear part, and the noise."""

    length: float
    linear: float
    noise: float

    def kernel(self, a: Floats, b: Floats) -> Floats:
        """exp(-|a - b|^2 / (2 length^2)) + linear a.b, shape (rows of a, rows of b)."""
        product = a @ b.T
        squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * product
        # rounding may leave the square of an arch's distance to itself below 0
        found = np.exp(-np.maximum(squares, 0) / (2 * self.length**2))
        if self.linear:
            found += self.linear * product
        return np.asarray(found)

    def variance(self, a: Floats) -> Floats:
        """The kernel of each row with itself, shape (n,)."""
        return np.asarray(1.0 + self.linear * (a**2).sum(axis=1))


@dataclass(frozen=True)
class Scaling:
    """Features and accuracies as the process sees them."""

    centre: Floats
    scale: Floats
    level: float
    spread: float

    def near(self, rows: Floats) -> Floats:
        return (rows - self.centre) * self.scale


@dataclass(frozen=True)
class Surrogate:
    """A fitted Gaussian process; ``rows`` are scaled features, ``targets`` scaled accuracies."""

    scaling: Scaling
    shape: Shape
    rows: Floats
    targets: Floats
    noise: Floats
    inverse: Floats

    def predict(self, rows: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the noise-free accuracy, each of shape (n,); ``rows`` as given to :func:`fit_surrogate`."""
        near = self.scaling.near(rows)
        kernel = self.shape.kernel(near, self.rows)
        weights = self.inverse @ self.targets
        mean = self.scaling.level + self.scaling.spread * (kernel @ weights)
        # the most likely amplitude has a closed form, so it is not searched for (Rasmussen & Williams, 5.4.1)
        amplitude = float(self.targets @ weights) / len(self.targets)
        # what the measured ones leave of each variance; of the (m, m) covariance only the diagonal is needed
        left = self.shape.variance(near) - np.einsum("ij,ij->i", kernel @ self.inverse, kernel)
        return mean, self.scaling.spread * np.sqrt(amplitude * np.maximum(left, 1e-9))

    def without_each(self) -> Floats:
        """What each told accuracy would be expected to be if only the others were told, shape (n,).

        In closed form (Rasmussen & Williams, 5.4.2), with the kernel's shape and the scaling as they are.
        """
        left = self.targets - (self.inverse @ self.targets) / np.diag(self.inverse)
        return np.asarray(self.scaling.level + self.scaling.spread * left)

    def believe(self, rows: Floats) -> Surrogate:
        """As if ``rows`` had been measured at their predicted means, so that they are not asked for again."""
        return self.told(rows, (self.predict(rows)[0] - self.scaling.level) / self.scaling.spread)

    def told(self, rows: Floats, targets: Floats) -> Surrogate:
        """As if ``rows`` had been measured at these scaled accuracies (n,).

        Nothing is fitted anew: targets that are met exactly would make the noise seem less than it is.
        """
        return conditioned(
            self.scaling, self.shape, np.concatenate([self.rows, self.scaling.near(rows)]),
            np.concatenate([self.targets, targets]), np.concatenate([self.noise, np.ones(len(rows))]),
        )  # fmt: skip


def conditioned(scaling: Scaling, shape: Shape, near: Floats, targets: Floats, noise: Floats) -> Surrogate:
    """The process of a known shape, given scaled features (n, k), targets (n,) and multiples of the noise (n,)."""
    # an inverse in place of a factor: far more archs are asked about than were measured, and a prediction is two products then
    inverse = np.linalg.inv(shape.kernel(near, near) + np.diag(shape.noise * noise))
    return Surrogate(scaling, shape, near, targets, noise, np.asarray(inverse, dtype=np.float64))


def fit_surrogate(rows: Floats, accuracy: Floats, n_costs: int = 0, noise: Floats | None = None) -> Surrogate:
    """The surrogate of measured accuracies (n,) of features (n, k) whose last ``n_costs`` are log costs.

    ``noise`` multiplies the noise variance of each. The kernel's shape is that of the greatest
    marginal likelihood.
    """
    noise = np.ones(len(rows)) if noise is None else noise
    scaling = scaling_of(rows, accuracy, n_costs)
    near, targets = scaling.near(rows), (accuracy - scaling.level) / scaling.spread
    return conditioned(scaling, most_likely_shape(near, targets, noise), near, targets, noise)


def fitted_shape(rows: Floats, accuracy: Floats, n_costs: int, noise: Floats) -> Shape:
    """The shape that :func:`fit_surrogate` gives the kernel."""
    scaling = scaling_of(rows, accuracy, n_costs)
    return most_likely_shape(scaling.near(rows), (accuracy - scaling.level) / scaling.spread, noise)


def scaling_of(rows: Floats, accuracy: Floats, n_costs: int) -> Scaling:
    centre, deviation = rows.mean(axis=0), rows.std(axis=0)
    scale = np.ones(rows.shape[1])
    if n_costs:
        # several costs tell much the same, and together weigh as one does
        scale[-n_costs:] = COST_WEIGHT / np.sqrt(n_costs) / np.maximum(deviation[-n_costs:], LEAST_SPREAD)
    # the length scales that are tried are relative to how far apart the measured archs are
    radius = np.sqrt(((deviation * scale) ** 2).sum())
    scale /= max(float(radius), LEAST_SPREAD)
    return Scaling(centre, scale, float(accuracy.mean()), max(float(accuracy.std()), LEAST_SPREAD))


def most_likely_shape(near: Floats, targets: Floats, noise: Floats) -> Shape:
    tried = []
    for length in LENGTH_SCALES:
        for linear in LINEAR:
            # the noise stands on the diagonal only, so that one kernel serves all its levels
            kernel = Shape(length, linear, 0).kernel(near, near)
            for level in NOISES:
                tried.append((likelihood(kernel, targets, level * noise), length, linear, level))
    return Shape(*max(tried)[1:])


def likelihood(kernel: Floats, targets: Floats, noise: Floats) -> float:
    """Logarithm of the marginal likelihood, the best amplitude put in, up to a constant."""
    from scipy.linalg import solve_triangular

    root = np.linalg.cholesky(kernel + np.diag(noise))
    white = solve_triangular(root, targets, lower=True, check_finite=False)
    # the amplitude a is energy / n: n/2 log a + log|root|, as the quadratic term is then n/2 whatever the shape
    n, energy = len(targets), float(white @ white)
    return float(-0.5 * n * np.log(max(energy / n, 1e-12)) - np.log(np.diag(root)).sum())
