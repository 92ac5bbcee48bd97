"""Budgets as upper bounds: what may be one, by how much costs exceed them, and whether they keep them all."""

from __future__ import annotations

import math
from collections.abc import Mapping

from supernet.errors import InputError


def over_budget(costs: Mapping[str, float], budgets: Mapping[str, float]) -> dict[str, float]:
    """By how much each budget is exceeded, relative to it; zero or less is within."""
    return {name: costs[name] / limit - 1 for name, limit in budgets.items()}


def within(costs: Mapping[str, float], budgets: Mapping[str, float]) -> bool:
    """Whether every budget is kept. Populations of codes are asked by :meth:`Problem.within`."""
    return all(costs[name] / limit - 1 <= 0 for name, limit in budgets.items())


def check_limit(limit: float, what: str) -> None:
    """Raises InputError, which begins with ``what``, for an upper bound of a cost that nothing could be within."""
    if not 0 < limit < math.inf:
        raise InputError(f"{what} {limit:g} must be positive and finite")
