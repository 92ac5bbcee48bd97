"""Non-negative prices by least squares of relative errors alone (Lawson & Hanson, 1974): what few features need."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cost_models.robust_prices import FOLD_SEED
from supernet.arrays import Floats

PLAIN_FOLDS = 8


def solve(amounts: Floats, figures: Floats) -> Floats:
    """Non-negative prices of the columns of ``amounts`` (n, features) that minimise relative errors."""
    from scipy.optimize import nnls

    relative = amounts / figures[:, None]
    scale = relative.max(axis=0)
    scale[scale == 0] = 1.0
    prices, _ = nnls(relative / scale, np.ones(len(figures)))
    return np.asarray(prices / scale, dtype=np.float64)


def held_out_errors(amounts: Floats, figures: Floats, tested: npt.NDArray[np.intp], folds: int) -> Floats:
    """Absolute relative error of each subnet at ``tested`` by a fit to all but its fold, shape (tested,)."""
    order = np.random.default_rng(FOLD_SEED).permutation(len(tested))
    errors = np.empty(len(tested))
    for fold in np.array_split(order, folds):
        held = tested[fold]
        kept = np.setdiff1d(np.arange(len(figures)), held)
        prices = solve(amounts[kept], figures[kept])
        errors[fold] = np.abs(amounts[held] @ prices / figures[held] - 1)
    return errors
