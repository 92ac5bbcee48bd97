"""Upper bounds of latency that hold with a stated confidence: costs that a budget may be on.

A fitted model keeps by which factor each of its subnets was slower than a fit without it predicted. New
subnets are slower by at most the k-th smallest of n such factors in a share of the cases that is known
however they are distributed (split conformal prediction; Vovk et al., 2005; here with cross-validated
residuals, without the widening of Barber et al., 2021, for fits that change much when a subnet is left
out). k is such that the share is reached for three devices in four; on the average it is above. Where n
are too few for that, their logarithms are taken to be normal (a tolerance bound; Owen, 1968).

A layer table that was measured here has such factors too, of whole subnets. A published one knows how much latency
varies between inferences, and nothing of the error of a sum over layers: its bound is that of a normal
distribution, with the largest relative deviation in the space.

Both are one factor for all subnets, so that a bound is a sum over layers, as the estimate is.

Notation:

===============  ==========================================================================================
``held_out``     (n,) of subnets, log(measured / predicted) by a fit without each
``confidence``   share of new subnets that are to stay below the bound
``place``        k: the k-th smallest of ``held_out`` is the bound's logarithm
``spread``       t sqrt(n), t the tolerance factor of n normal values; mean + t x deviation is the bound's
``factor``       of the estimate, 1 or more
===============  ==========================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cost_models.latency import known_latency, latency_ms, latency_std_ms
from cost_models.protocol import Target
from cost_models.tables import Factor, TableCost
from supernet.errors import InputError

CONFIDENCES = (0.8, 0.9, 0.95, 0.99)
"""There is a cost for each."""
MOST_OFF = math.log(20)
"""Logarithm of the factor at which an estimate is none."""
LEAST_HELD_OUT = 5
"""Held-out measurements, to say anything of the next."""
ASSURANCE = 0.75
"""Of the draws of held-out measurements, those in which a bound is exceeded as seldom as it says."""
CHOICE_SAMPLE = 2_000
"""Subnets in which the largest relative deviation of a table is looked for, beside the smallest and the largest."""


@dataclass(frozen=True)
class Bound:
    """``factor`` times the estimate is not exceeded with ``confidence``; ``how`` says why in words."""

    confidence: float
    factor: float
    how: str


def bound_name(confidence: float) -> str:
    """The cost of a confidence: ``latency_p95_ms``."""
    return f"latency_p{100 * confidence:g}_ms"


def confidence_of(name: str) -> float:
    """The confidence of a cost's name."""
    return next(confidence for confidence in CONFIDENCES if bound_name(confidence) == name)


def latency_p80_ms(target: Target) -> TableCost:
    """What the latency of a subnet does not exceed in 80 % of the cases."""
    return bounded(target, 0.8)


def latency_p90_ms(target: Target) -> TableCost:
    """What the latency of a subnet does not exceed in 90 % of the cases."""
    return bounded(target, 0.9)


def latency_p95_ms(target: Target) -> TableCost:
    """What the latency of a subnet does not exceed in 95 % of the cases."""
    return bounded(target, 0.95)


def latency_p99_ms(target: Target) -> TableCost:
    """What the latency of a subnet does not exceed in 99 % of the cases."""
    return bounded(target, 0.99)


def bounded(target: Target, confidence: float) -> TableCost:
    """The estimate times the factor of a bound."""
    factor, estimate = bound_of(target, confidence).factor, latency_ms(target)
    tables = tuple(Factor(part.columns, part.table * factor) for part in estimate.factors)
    return replace(estimate, name=bound_name(confidence), factors=tables, offset=estimate.offset * factor)


def bound_of(target: Target, confidence: float) -> Bound:
    """The bound of a target's device. Raises InputError for a device that knows of no error."""
    device, _ = known_latency(target)
    fit = device.fit
    if fit is None:
        return Bound(
            confidence,
            1 + normal_quantile(confidence) * worst_deviation(target),
            "the table's standard deviations, which say nothing of the error of a sum over layers",
        )
    held_out = fit.held_out or ()
    if len(held_out) < LEAST_HELD_OUT:
        raise InputError(
            f"device {device.name!r} knows of {len(held_out)} held-out measurements, and a bound on latency needs "
            f"at least {LEAST_HELD_OUT}: fit it anew (oncefit device {device.name} --refresh, or oncefit profile), "
            "or give the budget as a plain number"
        )
    # of logarithms: a model is off by factors, and twice as slow is as far as twice as fast
    quantile, how = upper_quantile(held_out, confidence)
    if quantile > MOST_OFF:
        raise InputError(
            f"device {device.name!r}: its model was off by a factor of {math.exp(MOST_OFF):.0f} or more on held-out "
            "measurements, which leaves no bound; measure more subnets, or give the budget as a plain number"
        )
    # a model that was always too slow gives no discount: a bound below the estimate would be taken for an error
    return Bound(confidence, math.exp(max(0.0, quantile)), how)


def upper_quantile(values: Sequence[float], confidence: float) -> tuple[float, str]:
    """What values like ``values`` do not exceed with a confidence, and how that is known.

    The confidence is reached with an assurance of :data:`ASSURANCE`: the k-th smallest of n exceeds a share of all that
    has the distribution Beta(k, n + 1 - k), whatever that of the values is (Wilks, 1941).
    """
    from scipy.stats import binom, nct

    count = len(values)
    # U(k) >= confidence where fewer than k of n uniform numbers are below it: the least k for which that is assured
    place = int(binom.ppf(ASSURANCE, count, confidence)) + 1
    if place <= count:
        return sorted(values)[place - 1], f"conformal, of {count} held-out measurements"
    # a mean and a deviation of n values are themselves uncertain, which the non-central t distribution accounts for
    spread = float(nct.ppf(ASSURANCE, count - 1, normal_quantile(confidence) * math.sqrt(count)))
    found = float(np.mean(values)) + spread / math.sqrt(count) * float(np.std(values, ddof=1))
    # what has been seen is not said to be unlikely
    return max(found, *values), f"normal errors, as {count} held-out measurements are too few to be conformal"


def normal_quantile(confidence: float) -> float:
    from scipy.stats import norm

    return float(norm.ppf(confidence))


def worst_deviation(target: Target) -> float:
    """The largest relative standard deviation of latency that a sample of the space has."""
    space = target.supernet.space
    codes = np.concatenate(
        [
            space.encode([space.smallest(), space.largest()]),
            space.sample(CHOICE_SAMPLE, np.random.default_rng(0)),
        ]
    )
    latency, std = latency_ms(target).batch(codes), latency_std_ms(target)
    return float((std.batch(codes) / latency).max())
