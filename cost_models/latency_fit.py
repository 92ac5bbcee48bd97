"""A latency model from measured subnets: non-negative prices of what their layers are made of.

The prices are the non-negative least squares of relative errors (Lawson & Hanson, 1974).
Where two features always come together (a gate's pool and its convolutions) one of them
may carry the price of both.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from cost_models.device import LatencyModel
from cost_models.layer_features import features
from cost_models.profiling import LatencyMeasurement
from supernet.arch import Arch
from supernet.arrays import Floats
from supernet.catalog import Supernet

FOLDS = 8
FOLD_SEED = 0
SIGNIFICANT_DIGITS = 6


def fit(
    supernet: Supernet,
    archs: Sequence[Arch],
    measured: Sequence[LatencyMeasurement],
    settings: Mapping[str, str | int | float] | None = None,
    tested: Collection[Arch] | None = None,
) -> LatencyModel:
    """The latency model of the quietest rounds of measured subnets, with its cross-validated error.

    That is of the archs ``tested``, each by a fit to the others; of all where none are named.
    Archs that were chosen for what they are say nothing of archs that were not.
    """
    names, amounts = feature_table(supernet, archs)
    times = np.array([m.low_ms for m in measured])
    prices = solve(amounts, times)
    rounded = [float(f"{price:.{SIGNIFICANT_DIGITS}g}") for price in prices]
    places = np.array([i for i, arch in enumerate(archs) if not tested or arch in tested])
    folds = min(FOLDS, len(places))
    errors = 100 * held_out_errors(amounts, times, places, folds)
    return LatencyModel(
        supernet=supernet.name,
        fingerprint=supernet.fingerprint,
        intercept_ms=rounded[-1],
        coefficients=dict(zip(names, rounded[:-1], strict=True)),
        subnets=len(archs),
        tested=len(places),
        error_percent=round(float(np.median(errors)), 2),
        worst_error_percent=round(float(errors.max()), 2),
        folds=folds,
        spread_percent=round(100 * float(np.median([m.spread for m in measured])), 2),
        settings=dict(settings or {}),
    )


def feature_table(supernet: Supernet, archs: Sequence[Arch]) -> tuple[list[str], Floats]:
    """Names of the features, and their sums over the layers of each arch with a last column of ones."""
    rows: list[dict[str, float]] = []
    for arch in archs:
        row: dict[str, float] = {}
        for layer in supernet.layers(arch):
            for name, amount in features(layer).items():
                row[name] = row.get(name, 0.0) + amount
        rows.append(row)
    names = sorted({name for row in rows for name in row})
    return names, np.array([[row.get(name, 0.0) for name in names] + [1.0] for row in rows])


def solve(amounts: Floats, times_ms: Floats) -> Floats:
    """Non-negative prices of the columns of ``amounts`` (n, features) that minimise relative errors."""
    from scipy.optimize import nnls

    relative = amounts / times_ms[:, None]
    scale = relative.max(axis=0)
    scale[scale == 0] = 1.0
    prices, _ = nnls(relative / scale, np.ones(len(times_ms)))
    return np.asarray(prices / scale, dtype=np.float64)


def held_out_errors(amounts: Floats, times_ms: Floats, tested: npt.NDArray[np.intp], folds: int) -> Floats:
    """Absolute relative error of each subnet at ``tested`` by a fit to all but its fold, shape (tested,)."""
    order = np.random.default_rng(FOLD_SEED).permutation(len(tested))
    errors = np.empty(len(tested))
    for fold in np.array_split(order, folds):
        held = tested[fold]
        kept = np.setdiff1d(np.arange(len(times_ms)), held)
        prices = solve(amounts[kept], times_ms[kept])
        errors[fold] = np.abs(amounts[held] @ prices / times_ms[held] - 1)
    return errors
