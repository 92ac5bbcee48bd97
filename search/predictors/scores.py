"""How well predictions agree with measurements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search.predictors.protocol import Prediction
from supernet.accuracy import NINETY_PERCENT
from supernet.arrays import Floats

IN_POINTS = 100.0
"""Points of top-1 in a fraction of 1."""


@dataclass(frozen=True)
class Scores:
    """Errors in points of top-1; rank correlations, NaN where all of one side are equal.

    ``coverage`` is the share of measurements within the 90 % interval, absent where the
    predictor knows no deviation.
    """

    rows: int
    rmse_points: float
    largest_error_points: float
    kendall_tau: float
    spearman: float
    coverage: float | None = None


def score(prediction: Prediction, top1: Floats) -> Scores:
    """Of predictions and measured fractions (n,); Kendall's tau is tau-b, which allows for ties."""
    from scipy.stats import kendalltau, spearmanr

    errors = IN_POINTS * np.abs(prediction.top1 - top1)
    ranked = len(top1) > 1 and np.ptp(top1) > 0 and np.ptp(prediction.top1) > 0
    coverage = None
    if prediction.std is not None:
        coverage = float((np.abs(prediction.top1 - top1) <= NINETY_PERCENT * prediction.std).mean())
    return Scores(
        rows=len(top1),
        rmse_points=float(np.sqrt((errors**2).mean())),
        largest_error_points=float(errors.max()),
        kendall_tau=float(kendalltau(prediction.top1, top1).statistic) if ranked else np.nan,
        spearman=float(spearmanr(prediction.top1, top1).statistic) if ranked else np.nan,
        coverage=coverage,
    )
