"""Accuracies of the same images held against each other: differences with intervals, tests, and how many images they need.

Every image is a pair: what the one is right on, the other mostly is as well, so that the interval of a difference is
much narrower than those of two accuracies, and only the images on which they differ tell them apart.

    n         images
    b, c      images on which only the one, only the other is right
    d[i]      what image i adds to a difference: right of the new less right of the base, weighted
    R         runs of one search with different seeds
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search.runs.racing import Bits
from supernet.accuracy import mcnemar_of
from supernet.arrays import Floats

SIGNIFICANCE_LEVEL = 0.05
"""Chance of telling apart what is equal, of all comparisons of one question together."""
POWER = 0.8
"""Chance that the images which are said to be needed show a difference as large as that measured."""
BOOTSTRAP_SAMPLES = 4_000
"""Of the bootstrap; with 16,000 the ends of an interval move by less than a hundredth of its width."""
SAME_DIGITS = 12
"""Differences of images that agree in so many digits are one, but for rounding."""
BOOTSTRAP_VALUES = 500
"""Different values that images may have in the bootstrap: of more, as of many seeds, each takes the nearest of so many."""


@dataclass(frozen=True)
class Difference:
    """A difference, new less base, with its 95 % interval and the chance of one as large where there is none.

    ``of_images`` and ``of_runs`` are the parts of its variance that images and seeds make; ``runs`` are those of both
    sides, ``differing`` the images on which the two are not the same.
    """

    value: float
    low: float
    high: float
    p_value: float
    images: int
    differing: int
    of_images: float
    of_runs: float = 0.0
    runs: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Needed:
    """How many images, with the runs that are there, or how many runs of each, with the images that are there.

    None of what no number would do alone.
    """

    images: int | None
    runs: int | None


def paired_difference(base: Bits, new: Bits) -> Difference:
    """Of two subnets, bool (n,) each: the exact test of McNemar (1947), and the score interval of Tango (1998)."""
    images = len(base)
    found = mcnemar_of(base, new)
    only_base, only_new = found.only_before, found.only_after
    low, high = tango(only_base, only_new, images)
    value, differing = (only_new - only_base) / images, only_base + only_new
    variance = (differing / images - value**2) / images
    return Difference(value, low, high, found.p_value, images, differing, variance)


def tango(
    only_base: int, only_new: int, images: int, confidence: float = 1 - SIGNIFICANCE_LEVEL
) -> tuple[float, float]:
    """The score interval of a difference of paired proportions (Tango, Statistics in Medicine 17, 1998, 891-908).

    It holds the differences whose score test, with the share of differing images that is most likely under them, does not
    refuse what was seen.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtri

    z = float(ndtri(0.5 + confidence / 2))
    value = (only_new - only_base) / images

    def excess(difference: float) -> float:
        return abs(tango_score(difference, only_base, only_new, images)) - z

    low = -1.0 if value <= -1 or excess(-1) <= 0 else brentq(excess, -1, value, xtol=1e-10)
    high = 1.0 if value >= 1 or excess(1) <= 0 else brentq(excess, value, 1, xtol=1e-10)
    return float(low), float(high)


def tango_score(difference: float, only_base: int, only_new: int, images: int) -> float:
    """Tango's statistic, which is standard normal where the true difference is this one."""
    # q is the share of images on which only the base is right, most likely given the difference: the greater root of
    # 2 n q^2 + (-b - c + (2 n - b + c) d) q - c d (1 - d) = 0 in his notation, where b is right of the new alone
    b, c, n, d = only_new, only_base, images, difference
    first, second, third = 2 * n, -b - c + (2 * n - b + c) * d, -c * d * (1 - d)
    q = (math.sqrt(max(0.0, second**2 - 4 * first * third)) - second) / (2 * first)
    variance = n * (2 * q + d * (1 - d))
    apart = b - c - n * d
    if variance <= 0:
        return 0.0 if apart == 0 else math.copysign(math.inf, apart)
    return apart / math.sqrt(variance)


def runs_difference(
    base: Floats, new: Floats, rng: np.random.Generator, resamples: int = BOOTSTRAP_SAMPLES
) -> Difference:
    """Of figures that are means over images, what each image adds to them, shape (R, n) for either side.

    A paired bootstrap over the images (Efron, 1979): all runs of both sides see the same resampled images. Where a side
    has several runs, the spread between seeds is added with Student's t of as many runs, since so few cannot be resampled.
    What images make of each run alone is in that spread already, and taken off the images' part.
    """
    images, value = base.shape[1], float(new.mean() - base.mean())
    each = np.round(new.mean(axis=0) - base.mean(axis=0), SAME_DIGITS)
    differing = int((each != 0).sum())
    counts, degrees = (len(base), len(new)), len(base) + len(new) - 2
    share = 1 / len(base) + 1 / len(new)
    of_runs = own = 0.0
    if degrees:
        totals = [side.mean(axis=1) for side in (base, new)]
        squares = sum(float(((some - some.mean()) ** 2).sum()) for some in totals)
        of_runs = squares / degrees * share
        own = sum(interaction(side) for side in (base, new)) / degrees * share
    resampled, spread = resampled_means(each, resamples, rng)
    shared = math.sqrt(max(0.0, 1 - own / spread**2)) if spread else 0.0
    draws = value + shared * resampled
    if degrees:
        draws = draws + math.sqrt(of_runs) * rng.standard_t(degrees, len(draws))
    low, high = (
        float(end) for end in np.quantile(draws, (SIGNIFICANCE_LEVEL / 2, 1 - SIGNIFICANCE_LEVEL / 2))
    )
    below, above = int((draws <= 0).sum()), int((draws >= 0).sum())
    p_value = min(1.0, 2 * (min(below, above) + 1) / (len(draws) + 1))
    of_images = (shared * spread) ** 2 / images
    return Difference(value, low, high, p_value, images, differing, of_images, of_runs, counts)


def interaction(side: Floats) -> float:
    """What images make of each run alone, shape (R, n): the sum over runs of the variance beside both means."""
    rest: Floats = side - side.mean(axis=1, keepdims=True) - side.mean(axis=0) + side.mean()
    return float(np.square(rest).sum()) / max(1, side.size // len(side) - 1)  # of one image nothing is left


def resampled_means(each: Floats, resamples: int, rng: np.random.Generator) -> tuple[Floats, float]:
    """How far means of resampled images, of what each adds (n,), are from their own, and the deviation of an image.

    Two images are added that differ as those that do, one each way, as Agresti and Min (2005) do with counts: without them
    an interval is too narrow where few images differ.
    """
    each = in_steps(each)
    differing = each[each != 0]
    size = math.sqrt(float((differing**2).mean())) if len(differing) else 0.0
    values, counts = np.unique(np.append(each, [size, -size]), return_counts=True)
    drawn = len(each) + 2
    shares = counts / drawn
    means = np.concatenate([
        rng.multinomial(drawn, shares, some) @ values / drawn for some in batches(resamples, len(values))
    ])  # fmt: skip
    middle = float(shares @ values)
    return means - middle, math.sqrt(float(shares @ (values - middle) ** 2))


def in_steps(each: Floats) -> Floats:
    """What images add (n,), in at most so many different values as the bootstrap takes."""
    if len(np.unique(each)) <= BOOTSTRAP_VALUES:
        return each
    step = float(np.ptp(each)) / (BOOTSTRAP_VALUES - 2)  # zero stays zero
    return np.asarray(np.round(each / step) * step)


def batches(resamples: int, values: int) -> list[int]:
    """Resamples at once, so that no more than 20 MB of counts are in memory."""
    most = max(1, 2_500_000 // values)
    return [min(most, resamples - start) for start in range(0, resamples, most)]


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for being several (Holm, 1979): the chance that any of them is so small where all are equal."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    found, least = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[i]))
        found[i] = least
    return found


def images_needed(found: Difference, comparisons: int) -> Needed | None:
    """What would show a difference as large as this one in four cases of five, beside ``comparisons`` of its kind.

    None where nothing differs at all.
    """
    from scipy.special import ndtri

    if not found.value:
        return None
    z = float(ndtri(1 - SIGNIFICANCE_LEVEL / (2 * comparisons)) + ndtri(POWER))
    allowed = (found.value / z) ** 2  # the variance with which it would be shown so often
    images = runs = None
    if found.of_runs < allowed:
        images = math.ceil(found.images * found.of_images / (allowed - found.of_runs))
    if found.of_images < allowed and found.of_runs:
        runs = math.ceil(max(found.runs) * found.of_runs / (allowed - found.of_images))
    return Needed(images, runs)
