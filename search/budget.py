"""Hard budgets: checked before the first trial, and on every candidate."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from search.problem import Problem
from search.region import Region
from supernet.arch import Arch
from supernet.errors import InputError


def over_budget(costs: Mapping[str, float], budgets: Mapping[str, float]) -> dict[str, float]:
    """By how much each budget is exceeded, relative to it; zero or less is within."""
    return {name: costs[name] / limit - 1 for name, limit in budgets.items()}


def within(costs: Mapping[str, float], budgets: Mapping[str, float]) -> bool:
    return all(excess <= 0 for excess in over_budget(costs, budgets).values())


def check_feasible(problem: Problem, where: str) -> Arch | None:
    """An arch within all budgets, or None where none was found yet several budgets might allow one.

    Raises InputError for a budget that no arch of the space can meet; it names the
    reachable minimum and the arch that has it.
    """
    for name, limit in problem.budgets.items():
        reach = problem.reach[name]
        if reach.minimum > limit:
            proof = "the smallest is" if reach.exact else "the smallest of a large sample is"
            given, smallest = told_apart(limit, reach.minimum)
            raise InputError(
                f"budget {name} <= {given}: no subnet of {problem.space.name} reaches it{f' on {where}' if where else ''}; "
                f"{proof} {smallest} (arch {reach.smallest.id}: {reach.smallest}). "
                f"Raise the budget to at least {round_up(reach.minimum):g}"
            )
    [arch] = problem.space.decode(Region(problem).anchor)
    costs = {name: problem.costs[name](arch) for name in problem.budgets}
    return arch if within(costs, problem.budgets) else None


def told_apart(a: float, b: float) -> tuple[str, str]:
    """Two different numbers with as many digits, at least six, as show that they differ."""
    digits = next((n for n in range(6, 17) if f"{a:.{n}g}" != f"{b:.{n}g}"), 17)
    return f"{a:.{digits}g}", f"{b:.{digits}g}"


def round_up(value: float, digits: int = 4) -> float:
    """The least number of ``digits`` significant digits that is not below ``value``."""
    step = 10.0 ** (np.floor(np.log10(value)) - digits + 1)
    return float(np.ceil(value / step) * step)
