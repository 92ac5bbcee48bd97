"""A latency model from measured subnets: non-negative prices of what their layers are made of.

How prices are found from few and noisy measurements is in :mod:`cost_models.robust_prices`; here is
what they are of: the sums of :mod:`cost_models.layer_features`. Other devices may lend their prices:
a non-negative mixture of sums over layers is one too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from cost_models.device import LatencyModel
from cost_models.feature_sums import FeatureSums, feature_sums
from cost_models.layer_features import AMOUNTS, counted_by, whatever_size
from cost_models.profiling import LatencyMeasurement
from cost_models.robust_prices import Sums, Validated, fit_prices, validated
from supernet.archs.arch import Arch
from supernet.arrays import Floats
from supernet.families.catalog import Supernet

SIGNIFICANT_DIGITS = 6
HELD_OUT_DIGITS = 5
LOOSE = 3.0
"""Freedom of prices where there are thousands of subnets."""


def fit(
    supernet: Supernet,
    archs: Sequence[Arch],
    measured: Sequence[LatencyMeasurement],
    settings: Mapping[str, str | int | float] | None = None,
    tested: Collection[Arch] | None = None,
    like: Mapping[str, Floats] | None = None,
) -> LatencyModel:
    """The latency model of the median rounds of measured subnets, with its cross-validated error.

    That is of the archs ``tested``, each by a fit to others; of all where none are named.
    Archs that were chosen for what they are say nothing of archs that were not. ``like`` are prices
    of other devices for the same network, by name (:func:`prices_of`), which its own may be a mixture of.
    """
    whole = supernet.restricted({})
    known = feature_sums(whole)
    sums = latency_sums(known, whole, archs, times_of(measured), like or {})
    found = validated(sums)
    rounded = [float(f"{price:.{SIGNIFICANT_DIGITS}g}") for price in found.fitted.prices]
    ratios = [
        float(ratio)
        for ratio, arch in zip(found.log_ratios, archs, strict=True)
        if not tested or arch in tested
    ]
    errors = 100 * np.abs(np.exp(-np.array(ratios)) - 1)
    return LatencyModel(
        supernet=supernet.name,
        fingerprint=supernet.fingerprint,
        intercept_ms=rounded[0],
        coefficients=dict(zip(known.names, rounded[1:], strict=True)),
        subnets=len(archs),
        tested=len(ratios),
        error_percent=round(float(np.median(errors)), 2),
        worst_error_percent=round(float(errors.max()), 2),
        folds=found.folds,
        spread_percent=round(100 * float(np.median([m.spread for m in measured])), 2),
        settings=dict(settings or {}),
        held_out=rising_ratios(found),
        scale_percent=round(100 * found.fitted.scale, 3),
        freedom=found.fitted.freedom,
        like=tuple(like or ()),
    )


def times_of(measured: Sequence[LatencyMeasurement]) -> Floats:
    """The milliseconds that a model is fitted to, shape (n,): medians of rounds."""
    return np.array([m.median_ms for m in measured])


def rising_ratios(found: Validated) -> tuple[float, ...]:
    """What a bound is calibrated on, in rising order."""
    return tuple(sorted(round(float(ratio), HELD_OUT_DIGITS) for ratio in found.log_ratios))


def latency_sums(
    known: FeatureSums,
    supernet: Supernet,
    archs: Sequence[Arch],
    times_ms: Floats,
    like: Mapping[str, Floats],
) -> Sums:
    """The amounts of archs, a one before them, with the directions that their prices may have."""
    amounts = known.of(supernet.space.encode(list(archs)))
    roof = roofline_paths(known.names)
    return Sums(
        np.column_stack([np.ones(len(archs)), amounts]),
        times_ms,
        np.column_stack([roof, *like.values()]),
        roof.shape[1],
        groups(known.names),
    )


def roofline_paths(names: Sequence[str]) -> Floats:
    """One price for all, of an inference, of a launch, of a multiply-add and of a byte; shape (1 + features, 4)."""
    of = np.array([[float(counted_by(name) == amount) for amount in AMOUNTS] for name in names])
    return np.vstack([np.eye(1, 1 + len(AMOUNTS)), np.column_stack([np.zeros(len(names)), of])])


def prices_of(model: LatencyModel, supernet: Supernet) -> Floats:
    """The prices of a fitted model, shape (1 + features,): of an inference, then of each feature."""
    names = feature_sums(supernet.restricted({})).names
    return np.array([model.intercept_ms, *(priced(model, name) for name in names)])


def priced(model: LatencyModel, feature: str) -> float:
    """What a model says of a feature, or nothing where it knows none: its own layers have none of it."""
    return model.coefficients.get(feature, model.coefficients.get(whatever_size(feature), 0.0))


def prices_of_many(supernet: Supernet, archs: Sequence[Arch], times_ms: Floats) -> Floats:
    """The prices, shape (1 + features,), of so many subnets that no cross-validation is needed."""
    whole = supernet.restricted({})
    sums = latency_sums(feature_sums(whole), whole, archs, times_ms, {})
    return fit_prices(sums, LOOSE).prices


def groups(names: Sequence[str]) -> tuple[str, ...]:
    """A kind and what is counted of it, whatever the size."""
    return ("inference", *(whatever_size(name) for name in names))
