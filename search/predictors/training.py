"""Fitting our own predictor to measured subnets, and what it says of those that were left out.

Once the curve of :mod:`search.predictors.saturating` is undone, the latent quality is a Gaussian
process whose kernel is a sum over features of few kinds (Rasmussen & Williams, 2006, chapters 2
and 5; the curve makes it a warped one, Snelson et al., 2003). The ceiling, the noise and how much
each kind of feature may matter are those of the greatest marginal likelihood, weakly held to a
prior. All features are explicit, so that what is kept are
weights and no rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from search.predictors.features import StepEncoding, step_encoding_of
from search.predictors.measured import Measured
from search.predictors.protocol import HeldOut, Prediction, PredictorCard
from search.predictors.saturating import CHOICES, KIND, Curve, Saturating, Size, chunks
from search.predictors.scores import Scores, score
from supernet.arrays import Floats
from supernet.errors import InputError

if TYPE_CHECKING:
    from supernet.archs.arch import Choice
    from supernet.archs.space import Codes
    from supernet.families.catalog import Supernet

LEAST_ROWS = 10
FOLDS_OF_TRAINING = 5
RANDOM_FOLDS = f"random, {FOLDS_OF_TRAINING} folds"
LIKELIHOOD_ROWS = 800
"""The marginal likelihood is that of at most so many rows, picked at random; the weights are fitted to all."""
SOLVER_STEPS = 60
DIRECTIONS = 64
POPULATION = 1000
"""Random archs whose doubt the kept directions explain."""

LEVEL_VARIANCE = 4.0
LEAST_QUANTILE = 0.05

# Starting points, which are also the middles of the priors, in standard deviations of the measured top-1.
EFFECT, SIZE_EFFECT, LATENT_NOISE, NOISE, HEADROOM = 0.2, 0.3, 0.05, 0.02, 2.0
# Standard deviations of the priors' logarithms.
WIDE, NARROW = 2.0, 0.5
REACH = 3
"""The scales stay within so many of these."""
LEAST_HEADROOM = 0.3
"""Of the ceiling above the best subnet, in standard deviations of top-1, where 100 % is nearer."""
JITTER = 1e-9
"""Of the largest variance: keeps the covariance positive where the optimiser tries far too large scales."""


def train_predictor(
    supernet: Supernet,
    rows: Measured,
    *,
    name: str,
    split: str,
    seed: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> tuple[Saturating, Mapping[str, Scores]]:
    """A predictor of ``supernet`` fitted to all rows, and its held-out figures by fold and by group.

    Raises InputError for too few subnets, or where all have the same top-1.
    """
    figures = cross_validate(supernet, rows, seed=seed, say=say)
    say("fitting to all rows")
    made = fit_saturating(supernet, rows, seed=seed)
    held = figures[RANDOM_FOLDS]
    groups = ", ".join(f"{group} ({len(rows.of(group))})" for group in dict.fromkeys(rows.groups))
    card = made.card.model_copy(
        update={
            "name": name,
            "split": split,
            "source": f"trained on {len(rows)} measurements of {len(rows.merged())} subnets: {groups}",
            "held_out": HeldOut(
                rows=held.rows, folds=FOLDS_OF_TRAINING, rmse_points=held.rmse_points,
                largest_error_points=held.largest_error_points,
                kendall_tau=None if math.isnan(held.kendall_tau) else held.kendall_tau,
                spearman=None if math.isnan(held.spearman) else held.spearman,
            ),
        }
    )  # fmt: skip
    return Saturating(card, made.encoding, made.sizes, made.curve, made.weights, made.left), figures


def cross_validate(
    supernet: Supernet, rows: Measured, *, seed: int = 0, say: Callable[[str], None] = lambda text: None
) -> Mapping[str, Scores]:
    """Held-out figures: of random folds together, and of each group by a predictor of the other groups.

    A subnet is never in both parts: those of a group that other groups have too are not scored.
    """
    rows = narrowed(rows)
    merged = rows.merged()
    check_rows(merged)
    order = np.random.default_rng(seed).permutation(len(merged))
    parts = []
    for fold in range(FOLDS_OF_TRAINING):
        say(f"fold {fold + 1} of {FOLDS_OF_TRAINING}")
        seen, unseen = (
            merged[np.delete(order, np.s_[fold::FOLDS_OF_TRAINING])],
            merged[order[fold::FOLDS_OF_TRAINING]],
        )
        parts.append((predicted(supernet, seen, unseen, seed), unseen.top1))
    figures = {
        RANDOM_FOLDS: score(joined_predictions([p for p, _ in parts]), np.concatenate([y for _, y in parts]))
    }
    groups = list(dict.fromkeys(rows.groups))
    for group in groups if len(groups) > 1 else ():
        others = rows[[i for i, other in enumerate(rows.groups) if other != group]].merged()
        unseen = rows.of(group).without(others).merged()
        if len(others) >= LEAST_ROWS and len(unseen):
            say(f"{group} left out")
            figures[f"{group} left out"] = score(predicted(supernet, others, unseen, seed), unseen.top1)
    return figures


def predicted(supernet: Supernet, seen: Measured, unseen: Measured, seed: int = 0) -> Prediction:
    """Of some rows, by a predictor that was fitted to others."""
    return fitted(supernet, seen, seed).predict(unseen.space, unseen.codes)


def joined_predictions(parts: list[Prediction]) -> Prediction:
    stds = [part.std for part in parts if part.std is not None]
    return Prediction(np.concatenate([part.top1 for part in parts]), np.concatenate(stds))


def check_rows(merged: Measured) -> None:
    """Raises InputError for subnets that a predictor cannot be fitted to."""
    if len(merged) < LEAST_ROWS:
        raise InputError(
            f"a predictor needs at least {LEAST_ROWS} measured subnets, got {len(merged)}; measure more, for "
            "example with a search by the sampler random"
        )
    if np.ptp(merged.top1) == 0:
        raise InputError(
            f"all {len(merged)} subnets have the same top-1, {merged.top1[0]:g}: there is nothing to learn from"
        )


def fit_saturating(supernet: Supernet, rows: Measured, *, seed: int = 0) -> Saturating:
    """A predictor fitted to all rows; its card says nothing of left-out ones.

    What has the same choice in all rows, as the resolution may have, is not predicted for another.
    """
    return fitted(supernet, narrowed(rows), seed)


def narrowed(rows: Measured) -> Measured:
    """The same rows in a space without choice in the dimensions that every arch has and that never vary."""
    space = rows.space
    constant = [
        i for i, d in enumerate(space.dimensions) if d.needs is None and np.ptp(rows.codes[:, i]) == 0
    ]
    only = {space.dimensions[i].name: (space.dimensions[i].choices[rows.codes[0, i]],) for i in constant}
    codes = rows.codes.copy()
    codes[:, constant] = 0
    return Measured(space.restricted(only), codes, rows.top1, rows.groups)


def fitted(supernet: Supernet, rows: Measured, seed: int) -> Saturating:
    """A predictor for the space of the rows: the supernet's, or a part of it.

    On one thread: on a busy machine, threads that wait for each other at matrices of a few hundred rows take
    ten times as long.
    """
    with threadpool_limits(1, "blas"):
        return fitted_here(supernet, rows, seed)


def fitted_here(supernet: Supernet, rows: Measured, seed: int) -> Saturating:
    """On the threads that there are."""
    merged = rows.merged()
    check_rows(merged)
    rng = np.random.default_rng(seed)
    encoding = step_encoding_of(merged.space, merged.codes)
    sizes = sizes_of(supernet, merged)
    features = all_features(encoding, sizes, merged.codes)
    layout = FeatureLayout(encoding, 2 * len(sizes))
    level, spread = float(merged.top1.mean()), float(merged.top1.std())
    targets = (merged.top1 - level) / spread
    some = rng.permutation(len(targets))[:LIKELIHOOD_ROWS]
    scales = most_likely(layout, features[some], targets[some], float(targets.max()), (1 - level) / spread)

    headroom = float(np.exp(scales[-1]))
    ceiling = float(targets.max()) + headroom
    latent, slope = unbent(targets, ceiling)
    noise = np.exp(2 * scales[-3]) + np.exp(2 * scales[-2]) * slope**2
    variances = layout.variances(scales)
    population = all_features(encoding, sizes, merged.space.sample(POPULATION, rng))
    mean, directions, left = posterior(features, latent, noise, variances, population)
    curve = Curve(
        ceiling=level + spread * ceiling,
        gap=spread * ceiling,
        latent_noise=float(np.exp(scales[-3])) / ceiling,
        noise=float(np.exp(scales[-2])) * spread,
        least=float(np.quantile(merged.top1, LEAST_QUANTILE)),
    )
    card = PredictorCard(
        name=f"{supernet.name}, trained", kind=KIND, supernet=supernet.name, fingerprint=supernet.fingerprint,
        split="top-1 on the images that its rows were measured on", domain=domain_of_rows(supernet, merged), source="",
        settings={
            CHOICES: [[name, list(choices)] for name, choices in encoding.choices],
            "seed": seed,
            "scales": dict(zip(layout.names, np.exp(scales).round(4).tolist(), strict=True)),
        },
    )  # fmt: skip
    weights = np.concatenate([mean[None], directions]) / ceiling
    return Saturating(card, encoding, sizes, curve, weights.astype(np.float32), left / ceiling**2)


# -- what is known of an arch ------------------------------------------------------


def sizes_of(supernet: Supernet, rows: Measured) -> tuple[Size, ...]:
    """Multiply-adds and parameters, as tables over the space of the rows."""
    from cost_models.compute import macs, params
    from cost_models.protocol import Target
    from cost_models.tables import TableCost

    same = supernet.restricted({d.name: d.choices for d in rows.space.dimensions})
    found = []
    for make in (macs, params):
        cost = make(Target(same))
        assert isinstance(cost, TableCost)
        middle = float(np.log(cost.batch(rows.codes)).mean())
        found.append(Size(cost.name, cost.factors, middle))
    return tuple(found)


def all_features(encoding: StepEncoding, sizes: tuple[Size, ...], codes: Codes) -> Floats:
    """Shape (n, features)."""
    parts = [columns for _, columns in chunks(encoding, sizes, codes)]
    return np.ascontiguousarray(np.concatenate(parts, axis=1).T, dtype=np.float64)


def domain_of_rows(supernet: Supernet, rows: Measured) -> dict[str, tuple[Choice, ...]]:
    """Choices from the least to the greatest that was seen, of the dimensions where that is not all."""
    active = rows.space.active(rows.codes)
    found = {}
    for i, d in enumerate(rows.space.dimensions):
        seen = rows.codes[active[:, i], i]
        within = d.choices[int(seen.min()) : int(seen.max()) + 1] if len(seen) else ()
        if within and len(within) < len(supernet.space.by_name[d.name].choices):
            found[d.name] = within
    return found


# -- the model ---------------------------------------------------------------------


@dataclass(frozen=True)
class FeatureLayout:
    """Which features share a scale: those of one kind, as steps, as sums, in pairs of a stage and of sums.

    Features are in the order of :func:`search.predictors.saturating.chunks`.
    """

    encoding: StepEncoding
    n_sizes: int

    @cached_property
    def linear(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Name of each scale of single features, and the features."""
        encoding, first_sum = self.encoding, 1 + len(self.encoding.steps)
        found = []
        for kind in dict.fromkeys(encoding.kinds):
            steps = tuple(1 + i for i, other in enumerate(encoding.kinds) if other == kind)
            sums = tuple(first_sum + i for i, other in enumerate(encoding.sum_kinds) if other == kind)
            found.append((f"{kind}", steps))
            if len(sums) < len(steps):
                found.append((f"{kind}, summed", sums))
        sizes = first_sum + len(encoding.sums)
        return (*found, ("size", tuple(range(sizes, sizes + self.n_sizes))))

    @cached_property
    def squared(self) -> tuple[tuple[tuple[str, tuple[int, ...]], ...], ...]:
        """Of each group whose pairs count: its kinds' scales and features."""
        encoding, first_sum = self.encoding, 1 + len(self.encoding.steps)
        groups: list[tuple[tuple[str, tuple[int, ...]], ...]] = []
        for stage in encoding.stages:
            kinds = dict.fromkeys(encoding.kinds[i] for i in stage)
            groups.append(
                tuple(
                    (f"{kind}, pairs in a stage", tuple(1 + i for i in stage if encoding.kinds[i] == kind))
                    for kind in kinds
                )
            )
        groups.append(
            tuple(
                (
                    f"{kind}, pairs of sums",
                    tuple(first_sum + i for i, other in enumerate(encoding.sum_kinds) if other == kind),
                )
                for kind in dict.fromkeys(encoding.sum_kinds)
            )
        )
        return tuple(groups)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of all scales; the last ones are those of the noise and the ceiling."""
        pairs = dict.fromkeys(name for group in self.squared for name, _ in group)
        return (*(name for name, _ in self.linear), *pairs, "latent noise", "noise", "headroom")

    @cached_property
    def start(self) -> Floats:
        """Logarithms of the priors' middles."""
        known = {"size": SIZE_EFFECT, "latent noise": LATENT_NOISE, "noise": NOISE, "headroom": HEADROOM}
        return np.log([known.get(name, EFFECT) for name in self.names])

    @cached_property
    def doubt(self) -> Floats:
        """Standard deviations of the priors of the logarithms."""
        return np.array([NARROW if name == "headroom" else WIDE for name in self.names])

    def variances(self, scales: Floats) -> Floats:
        """Prior variance of each feature's weight."""
        found = [np.array([LEVEL_VARIANCE]), np.zeros(self.n_singles)]
        squares = dict(zip(self.names, np.exp(2 * scales), strict=True))
        for name, features in self.linear:
            found[1][np.array(features) - 1] = squares[name]
        for group in self.squared:
            each = {feature: squares[name] for name, features in group for feature in features}
            ordered = np.array([each[feature] for feature in sorted(each)])
            first, second = np.triu_indices(len(ordered))
            found.append(ordered[first] * ordered[second] * np.where(first == second, 1, 2))
        return np.concatenate(found)

    @property
    def n_singles(self) -> int:
        """Steps, sums and sizes."""
        return len(self.encoding.steps) + len(self.encoding.sums) + self.n_sizes


@dataclass(frozen=True)
class Kernel:
    """Covariance of the latent qualities of n archs, as a function of the scales.

    ``linear`` has ``(scale, products)``, ``squared`` has groups of them, products of shape
    (n, n): the sum over a group, scaled, is squared, which is the kernel of all its pairs.
    """

    linear: tuple[tuple[int, Floats], ...]
    squared: tuple[tuple[tuple[int, Floats], ...], ...]

    def __call__(self, scales: Floats) -> tuple[Floats, list[Floats]]:
        """The kernel, and the sum of each group before it is squared."""
        squares = np.exp(2 * scales)
        total = np.full_like(self.linear[0][1], LEVEL_VARIANCE)
        for scale, products in self.linear:
            total += squares[scale] * products
        sums = []
        for group in self.squared:
            found = np.zeros_like(total)
            for scale, products in group:
                found += squares[scale] * products
            total += found**2
            sums.append(found)
        return total, sums

    def gradient(self, scales: Floats, sums: list[Floats], by_kernel: Floats) -> Floats:
        """Derivative by each scale of what has the derivative ``by_kernel`` (n, n) by the kernel."""
        squares, found = np.exp(2 * scales), np.zeros(len(scales))
        for scale, products in self.linear:
            found[scale] += 2 * squares[scale] * np.vdot(by_kernel, products)
        for group, inner in zip(self.squared, sums, strict=True):
            weighted = by_kernel * inner
            for scale, products in group:
                found[scale] += 4 * squares[scale] * np.vdot(weighted, products)
        return found


def kernel_of(layout: FeatureLayout, features: Floats) -> Kernel:
    place = {name: i for i, name in enumerate(layout.names)}

    def products(columns: tuple[int, ...]) -> Floats:
        chosen = features[:, columns]
        return np.asarray(chosen @ chosen.T)

    return Kernel(
        tuple((place[name], products(columns)) for name, columns in layout.linear if columns),
        tuple(tuple((place[n], products(columns)) for n, columns in group) for group in layout.squared),
    )


def unbent(targets: Floats, ceiling: float) -> tuple[Floats, Floats]:
    """Latent quality of targets of mean 0, scaled to a slope of 1 there, and its slope at each of them."""
    slope = ceiling / (ceiling - targets)
    return ceiling * np.log(slope), slope


@dataclass(frozen=True)
class Posterior:
    """Density of the scales, given targets (n,) of mean 0 whose greatest is ``greatest``."""

    layout: FeatureLayout
    kernel: Kernel
    targets: Floats
    greatest: float

    def __call__(self, scales: Floats) -> tuple[float, Floats]:
        """Its negative logarithm, all weights integrated out, up to a constant; and the gradient."""
        from scipy.linalg import cho_factor, cho_solve
        from scipy.linalg.lapack import dpotri

        latent_noise, noise = np.exp(2 * scales[-3:-1])
        ceiling = self.greatest + np.exp(scales[-1])
        latent, slope = unbent(self.targets, ceiling)
        total, sums = self.kernel(scales)
        diagonal = np.diag_indices(len(latent))
        total[diagonal] += latent_noise + noise * slope**2 + JITTER * total[diagonal].max()
        root, _ = cho_factor(total, lower=True, overwrite_a=True, check_finite=False)
        solved = cho_solve((root, True), latent, check_finite=False)
        lower, _ = dpotri(root, lower=1)
        inverse = np.tril(lower) + np.tril(lower, -1).T
        by_kernel = 0.5 * (inverse - np.outer(solved, solved))

        by_noise = np.diag(by_kernel)
        # how the logarithm of the slope and the latent quality move with the ceiling
        log_moves = 1 / ceiling - 1 / (ceiling - self.targets)
        latent_moves = np.log(slope) + ceiling * log_moves
        by_ceiling = solved @ latent_moves - log_moves.sum()
        by_ceiling += 2 * noise * (by_noise * slope**2) @ log_moves
        gradient = self.kernel.gradient(scales, sums, by_kernel)
        gradient[-3] += 2 * latent_noise * by_noise.sum()
        gradient[-2] += 2 * noise * (by_noise @ slope**2)
        gradient[-1] += by_ceiling * np.exp(scales[-1])

        off = (scales - self.layout.start) / self.layout.doubt
        value = 0.5 * latent @ solved + np.log(root[diagonal]).sum() - np.log(slope).sum() + 0.5 * off @ off
        return float(value), gradient + off / self.layout.doubt


def most_likely(
    layout: FeatureLayout, features: Floats, targets: Floats, greatest: float, most: float
) -> Floats:
    """Logarithms of the scales of greatest posterior density, with no ceiling above ``most``."""
    from scipy.optimize import minimize

    reach = REACH * layout.doubt
    low, high = layout.start - reach, layout.start + reach
    high[-1] = np.clip(np.log(max(most - greatest, LEAST_HEADROOM)), low[-1], high[-1])
    found = minimize(
        Posterior(layout, kernel_of(layout, features), targets, greatest),
        np.clip(layout.start, low, high), jac=True, method="L-BFGS-B",
        bounds=list(zip(low, high, strict=True)), options={"maxiter": SOLVER_STEPS, "ftol": 1e-7},
    )  # fmt: skip
    return np.asarray(found.x, dtype=np.float64)


def posterior(
    features: Floats, latent: Floats, noise: Floats, variances: Floats, population: Floats
) -> tuple[Floats, Floats, float]:
    """Mean of the weights, the directions (r, features) of most doubt in a population, and the variance left."""
    from scipy.linalg import cho_factor, cho_solve, eigh

    scaled = features * variances
    covariance = scaled @ features.T
    covariance[np.diag_indices(len(latent))] += noise
    root = cho_factor(covariance, lower=True)
    mean = scaled.T @ cho_solve(root, latent)
    across = population @ scaled.T
    doubts = (population * variances) @ population.T - across @ cho_solve(root, across.T)
    n = len(population)
    values, vectors = eigh(doubts, subset_by_index=(max(0, n - DIRECTIONS), n - 1))
    kept = values > values[-1] * 1e-6
    vectors = vectors[:, kept] / np.sqrt(values[kept])
    directions = (population * variances).T @ vectors - scaled.T @ cho_solve(root, across.T @ vectors)
    left = float(np.trace(doubts) - values[kept].sum()) / n
    return mean, directions.T, max(left, 0.0)
