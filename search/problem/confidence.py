"""Budgets on what latency stays below with a confidence: written as a percentile, kept as a budget of a bound.

``latency_ms: {p95: 25}`` is a budget of the cost ``latency_p95_ms``, an upper bound of latency
(:mod:`cost_models.latency_bound`); with a ``confidence`` above the percentile it is that of the confidence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from cost_models.latency_bound import CONFIDENCES, bound_name
from cost_models.registry import BOUNDS
from supernet.errors import InputError, short

LATENCY = "latency_ms"
CONFIDENCE = "confidence"
PERCENTILE = re.compile(r"p([1-9]\d?(?:\.\d+)?)")


def plain_budgets(budgets: Mapping[str, object]) -> dict[str, object]:
    """The same budgets, those on a percentile as budgets of a bound. Raises InputError for what is no such budget."""
    found: dict[str, object] = {}
    for cost, limit in budgets.items():
        name, value = bound_budget(cost, limit) if isinstance(limit, Mapping) else (cost, limit)
        if name in found or (name != cost and name in budgets):
            raise InputError(f"two budgets of {name} are given, one as {cost}: {short(str(limit))}; give one")
        found[name] = value
    return found


def bound_budget(cost: str, given: Mapping[str, object]) -> tuple[str, object]:
    """The cost that is bounded, and the number that it must not exceed."""
    allowed = ", ".join(f"{confidence:g}" for confidence in CONFIDENCES)
    asked = f"budget {cost}: {short(str(dict(given)))}"
    if cost != LATENCY:
        raise InputError(f"{asked}: only {LATENCY} has a bound with a confidence; give a number")
    percentiles = [key for key in given if isinstance(key, str) and PERCENTILE.fullmatch(key)]
    if len(percentiles) != 1 or set(given) - {CONFIDENCE, percentiles[0]}:
        raise InputError(f"{asked}: it has one percentile, as p95: 25, and may have a {CONFIDENCE}")
    percentile = float(percentiles[0][1:]) / 100
    confidence = given.get(CONFIDENCE, percentile)
    if isinstance(confidence, bool) or not isinstance(confidence, int | float):
        raise InputError(f"{asked}: {CONFIDENCE} is a number, one of {allowed}")
    limit = given[percentiles[0]]
    if isinstance(limit, bool) or not isinstance(limit, int | float):
        raise InputError(f"{asked}: {percentiles[0]} is a number of milliseconds")
    held = max(percentile, float(confidence))
    if held not in CONFIDENCES:
        raise InputError(
            f"{asked}: the greater of percentile and {CONFIDENCE} is {held:g}, and bounds are known for {allowed}"
        )
    return bound_name(held), limit


def latency_limit(budgets: Mapping[str, float]) -> float | None:
    """The least budget on latency or on a bound of it, which a measured latency is held against; None without one."""
    return min((limit for name, limit in budgets.items() if name in (LATENCY, *BOUNDS)), default=None)
