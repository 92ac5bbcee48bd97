"""Non-negative prices of amounts, from few measured sums that may hold outliers.

A sum is its amounts times their prices, and a factor of noise near 1 that is sometimes far from it.
What is known before is physical: a launch, a multiply-add and a byte each have a price, whatever the
layer (a roofline; Williams et al., 2009), or another device's prices times a number. So first few
directions of prices are fitted to all sums (:func:`roofline`), then each amount's price may differ from
that by a share that is probably below ``freedom``, features of one group together more than alone
(a normal prior, of which the mode is found by non-negative least squares; Lawson & Hanson, 1974).

Noise is Student's t on relative errors: a sum that is off by many scales weighs next to nothing
(iterated weights; Lange, Little & Taylor, 1989). The freedom is chosen by cross-validation.

| here         | in the literature | what it is                                                   |
|--------------|-------------------|--------------------------------------------------------------|
| ``amounts``  | X (n, p)          | sums of features of each subnet, the first a one             |
| ``paths``    | B (p, k)          | directions of prices that are fitted first, non-negative     |
| ``groups``   |                   | (p,) features of one group deviate together                  |
| ``freedom``  | tau               | standard deviation of a price's relative deviation           |
| ``times``    | y (n,)            | milliseconds of each subnet                                  |
| ``relative`` | X / y (n, p)      | rows that a fit without error multiplies to one              |
| ``shares``   | b (k,)            | how much of each path; ``paths @ shares`` are prices (p,)    |
| ``weights``  | w (n,)            | (nu + 1) / (nu + (e / s)^2) of relative errors e and scale s |
| ``pull``     | L^-1 / (tau c)    | (p, p) of the prior: ``pull @ (prices - centre)`` is N(0, I),|
|              |                   | for L L' the covariance of relative deviations, c the spread |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from supernet.arrays import Floats

DEGREES = 3.0
"""Of the t distribution: outliers weigh little, and errors that are normal lose little."""
LEAST_SCALE = 0.002
"""No measurement of a subnet is steadier; keeps few sums that are met exactly from counting as all there is."""
SHARE_ALONE = 0.1
"""Share of a deviation's variance that a feature has alone; the rest it shares with its group."""
LEAST_SHARE = 0.03
"""Of the time, that each of a roofline's prices has for the prior, lest what few sums do not show costs nothing for good."""
FREEDOMS = (1.0, 0.3, 3.0)
LENT_FREEDOMS = (0.3, 0.1, 1.0)
"""Where other devices lend their prices. The first is taken unless another is better beyond doubt."""
DOUBT = 2.0
"""Standard errors by which another freedom must be better."""
STEPS, CLOSE = 12, 1e-3
"""Of the iterated weights, and the relative change of the scale at which they end."""
MOST_FOLDS = 40
"""So many sums or fewer are left out one by one."""
FOLDS = 10
FOLD_SEED = 0
TO_DEVIATION = 1.4826
"""From the median absolute error of normal errors to their standard deviation."""


@dataclass(frozen=True)
class Sums:
    """Measured ``times`` (n,) of subnets with ``amounts`` (n, p), and what is known of prices before."""

    amounts: Floats
    times: Floats
    paths: Floats
    base_paths: int
    groups: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Sums:
        return replace(self, amounts=self.amounts[rows], times=self.times[rows])


@dataclass(frozen=True)
class Fitted:
    """Prices (p,), the freedom they had, and the scale of relative errors without outliers."""

    prices: Floats
    freedom: float
    scale: float


def fit_prices(sums: Sums, freedom: float) -> Fitted:
    """The prices at a freedom."""
    direct = roofline(sums)
    prior = np.maximum(direct, least_share(sums))
    # the centre is what fits; the spread around it is that of the prior, which is never nothing
    centre = sums.paths @ direct
    spread = sums.paths @ prior
    loose = deviations(sums.groups) / freedom
    # columns divided by each price's spread: deviations of prices become relative ones. A price that no path has is not
    # in the sums either
    pull = loose / np.where(spread > 0, spread, 1.0)
    prices, scale = robust(sums.amounts / sums.times[:, None], pull, pull @ centre)
    return Fitted(prices, freedom, scale)


def roofline(sums: Sums) -> Floats:
    """How much of each path fits the sums best, shape (k,)."""
    # k columns in place of p, without a prior: few enough for few sums
    shares, _ = robust((sums.amounts @ sums.paths) / sums.times[:, None])
    return shares


def least_share(sums: Sums) -> Floats:
    """:data:`LEAST_SHARE` of the mean time for each path that is not another device's."""
    of_path = ((sums.amounts @ sums.paths) / sums.times[:, None]).mean(axis=0)
    share = np.where(np.arange(len(of_path)) < sums.base_paths, LEAST_SHARE, 0.0)
    return np.asarray(np.divide(share, of_path, out=np.zeros_like(of_path), where=of_path > 0))


def covariance(groups: Sequence[str]) -> Floats:
    """Of the relative deviations at a freedom of 1, shape (p, p)."""
    names = np.array(groups)
    together = names[:, None] == names[None]
    return np.asarray((1 - SHARE_ALONE) * together + SHARE_ALONE * np.eye(len(names)))


def deviations(groups: Sequence[str]) -> Floats:
    """The matrix (p, p) that makes deviations independent and of standard deviation 1."""
    return np.asarray(np.linalg.inv(np.linalg.cholesky(covariance(groups))))


def robust(
    relative: Floats, pull: Floats | None = None, toward: Floats | None = None
) -> tuple[Floats, float]:
    """Non-negative prices whose sums ``relative`` (n, p) are near one, and the scale of what is left.

    ``pull @ prices`` is pulled toward ``toward`` with standard deviation 1.
    """
    count, columns = relative.shape
    if pull is None or toward is None:
        pull, toward = np.zeros((0, columns)), np.zeros(0)
    # a wide scale and equal weights to begin with, so that no sum is given up before anything was fitted
    scale, weights, prices = 0.1, np.ones(count), np.zeros(columns)
    for _ in range(STEPS):
        root = np.sqrt(weights) / scale
        prices = non_negative(np.vstack([relative * root[:, None], pull]), np.concatenate([root, toward]))
        # from the median, not from the weighted squares: it is not drawn by the errors that are to be told from others
        errors = relative @ prices - 1
        before, scale = scale, scale_of(errors)
        weights = (DEGREES + 1) / (DEGREES + (errors / scale) ** 2)
        if abs(scale - before) < CLOSE * before:
            break
    return prices, scale


def scale_of(errors: Floats) -> float:
    """The standard deviation of errors that are normal but for outliers; few are fitted too well to be taken at their word."""
    # the roofline's four shares are always fitted; the prior keeps the others from counting as such
    few = np.sqrt(len(errors) / max(len(errors) - 4, 1))
    return max(LEAST_SCALE, float(few * TO_DEVIATION * np.median(np.abs(errors))))


def non_negative(rows: Floats, wanted: Floats) -> Floats:
    """Non-negative least squares, of columns scaled alike and rows that were made few by a QR decomposition."""
    from scipy.optimize import nnls

    size = np.abs(rows).max(axis=0)
    size[size == 0] = 1.0
    # the triangle has the same least squares, and nnls takes time by rows in every step
    triangle = np.asarray(np.linalg.qr(np.column_stack([rows / size, wanted]), mode="r"))
    found, _ = nnls(triangle[:, :-1], triangle[:, -1], maxiter=30 * rows.shape[1])
    return np.asarray(found / size, dtype=np.float64)


# -- cross-validation ----------------------------------------------------------------


@dataclass(frozen=True)
class Validated:
    """The fit to all sums, and log(measured / predicted) of each by a fit that had not seen it, shape (n,)."""

    fitted: Fitted
    log_ratios: Floats
    folds: int


def validated(sums: Sums) -> Validated:
    """Prices at the freedom that cross-validation prefers."""
    folds = fold_numbers(len(sums))
    lent = sums.paths.shape[1] > sums.base_paths
    ratios = {freedom: held_out(sums, folds, freedom) for freedom in (LENT_FREEDOMS if lent else FREEDOMS)}
    freedom = preferred(ratios)
    return Validated(fit_prices(sums, freedom), ratios[freedom], int(folds.max()) + 1)


def fold_numbers(count: int) -> npt.NDArray[np.intp]:
    """The fold of each sum; few are a fold each."""
    folds = count if count <= MOST_FOLDS else FOLDS
    return np.random.default_rng(FOLD_SEED).permutation(np.arange(count) % folds)


def held_out(sums: Sums, folds: npt.NDArray[np.intp], freedom: float) -> Floats:
    """log(measured / predicted), each by a fit without its fold."""
    found = np.zeros(len(sums))
    for fold in range(int(folds.max()) + 1):
        out = folds == fold
        prices = fit_prices(sums[~out], freedom).prices
        predicted = np.maximum(sums.amounts[out] @ prices, np.finfo(float).tiny)
        found[out] = np.log(sums.times[out] / predicted)
    return found


def preferred(ratios: dict[float, Floats]) -> float:
    """The freedom of the least robust loss, if it is below that of the first by more than :data:`DOUBT` errors."""
    usual = next(iter(ratios))
    scale = min(scale_of(errors) for errors in ratios.values())
    # minus the logarithm of t's density, up to a factor and a constant, at one scale: else an outlier would decide
    losses = {freedom: np.log1p((errors / scale) ** 2 / DEGREES) for freedom, errors in ratios.items()}
    best = min(losses, key=lambda freedom: float(losses[freedom].mean()))
    # paired: the same sums are hard for both
    gain = losses[usual] - losses[best]
    return best if gain.mean() > DOUBT * gain.std() / np.sqrt(len(gain)) else usual
