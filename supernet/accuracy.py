"""Accuracy as a value: measured with its confidence interval, or predicted with its deviation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

    Hits = npt.NDArray[np.bool_] | Tensor


@dataclass(frozen=True)
class Accuracy:
    """Measured accuracy on ``images`` images of a split; ``top1`` and ``top5`` are fractions."""

    split: str
    images: int
    top1: float
    top5: float
    top1_low: float
    top1_high: float
    top5_low: float
    top5_high: float


@dataclass(frozen=True, slots=True)
class PredictedAccuracy:
    """What a predictor says of a subnet: top-1 as a fraction, and its standard deviation if it knows it."""

    top1: float
    std: float | None = None


@dataclass(frozen=True)
class OwnAccuracy:
    """What an evaluation of the caller's own says of a subnet, as fractions; of its images nothing is known."""

    top1: float
    top5: float | None = None


NINETY_PERCENT = 1.645
"""Standard deviations on either side of a normal mean that nine in ten values lie within."""


def wilson(correct: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson, 1927)."""
    from scipy.stats import binomtest

    interval = binomtest(correct, total).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


@dataclass(frozen=True)
class Paired:
    """Two networks on the same images: on how many only one of them is right.

    ``p_value`` is the chance that these would fall apart at least so unevenly were the networks equally accurate.
    """

    only_before: int
    only_after: int
    p_value: float


def mcnemar(only_before: int, only_after: int) -> Paired:
    """McNemar's test (1947), exact and two-sided: each image on which they differ is a throw of a fair coin."""
    from scipy.stats import binomtest

    differing = only_before + only_after
    p_value = float(binomtest(only_after, differing).pvalue) if differing else 1.0
    return Paired(only_before, only_after, p_value)


def mcnemar_of(before: Hits, after: Hits) -> Paired:
    """The same of which images each gets right, bool (n,): arrays or tensors."""
    return mcnemar(int((before & ~after).sum()), int((after & ~before).sum()))


def near_chance(found: Accuracy, classes: int) -> bool:
    """Whether top-1 is no better than guessing one of ``classes``, as far as its 95 % interval can tell, or worse.

    Never of so few images that halfway between guessing and all right would not be told from guessing.
    """
    chance = 1 / classes
    halfway, _ = wilson(round(found.images * (1 + chance) / 2), found.images)
    return found.top1_low <= chance < halfway
