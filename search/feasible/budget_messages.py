"""Hard budgets: checked before the first trial, and on every candidate."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from pathlib import Path

import numpy as np

from cost_models.registry import REACH_SAMPLE
from cost_models.tables import TableCost
from search.feasible.certificate import PROVEN, certify, nearest_of
from search.feasible.neighbours import descend, neighbours
from search.feasible.region import Region
from search.problem.limits import over_budget
from search.problem.problem import Problem
from supernet.archs.arch import Arch
from supernet.archs.space import Codes
from supernet.errors import InputError


def check_feasible(problem: Problem, where: str) -> Arch | None:
    """An arch within all budgets, or None where none was found and none is proven not to exist.

    Raises InputError for a budget that no arch meets, naming the least that can be reached and the
    arch that has it, and for several that provably no arch keeps together, naming the nearest arch.
    """
    for name, limit in problem.budgets.items():
        if problem.reach[name].minimum > limit:
            check_alone(problem, name, limit, f" on {where}" if where else "")
    anchor = Region(problem).anchor
    if problem.within(anchor)[0]:
        return problem.space.decode(anchor)[0]
    joint, nearest = certify(problem), nearest_of(problem)
    if not joint.infeasible and not nearest.infeasible:
        return None
    # of a cost in no lookup tables nothing is proven
    exact = nearest.exact and all(
        isinstance(problem.costs[name].model, TableCost) for name in problem.budgets
    )
    raise InputError(
        f"{together(problem)}: no subnet of {problem.space.name} keeps all of them{f' on {where}' if where else ''}, "
        f"though each can be kept alone. {surely(max(joint.bound, nearest.bound))}"
        f"{told_infeasible(problem, nearest.codes, nearest=True) if exact else told_infeasible(problem, anchor)}"
    )


def check_alone(problem: Problem, name: str, limit: float, on: str) -> None:
    """Raises InputError for a budget below the least value of its cost, exact or found."""
    reach, space = problem.reach[name], problem.space
    arch, least = reach.smallest, reach.minimum
    if reach.exact:
        unreached, proof = f"no subnet of {space.name} reaches it{on}", "the smallest is"
    else:
        [arch], least = descended(problem, name, limit)
        if least <= limit:
            return
        unreached = f"no subnet of {space.name} was found that reaches it{on}"
        proof = f"the smallest of a sample of {REACH_SAMPLE:,}, improved choice by choice, is"
    given, smallest = told_apart(limit, least)
    raise InputError(
        f"budget {name} <= {given}: {unreached}; {proof} {smallest} (arch {arch.id}: {arch}). "
        f"Raise the budget{f' (--budget {name}=...)' if not reach.exact else ''} to at least {round_up(least):g}"
    )


def descended(problem: Problem, name: str, enough: float) -> tuple[list[Arch], float]:
    """A cost's least value, and its arch, that one-change steps reach from the smallest of the sample."""
    space, cost = problem.space, problem.costs[name]
    start = space.encode([problem.reach[name].smallest])
    codes, least = descend(start, cost.batch, lambda here: neighbours(space, here), enough)
    return space.decode(codes), least


def nothing_found(problem: Problem, folder: Path, proposals: int) -> InputError:
    """What is said of a run without a measured candidate."""
    if not problem.budgets or proposals == 0:
        return InputError(f"{folder} holds no measured candidate yet; the same oncefit search continues it")
    anchor = Region(problem).anchor
    if problem.within(anchor)[0]:
        return InputError(
            f"{folder} holds no measured candidate within budget after {proposals} proposals, though there are "
            "subnets within; the same oncefit search continues it, with more --trials if need be"
        )
    return InputError(
        f"{folder}: no subnet within {together(problem)} was found in {proposals} proposals, and it is not proven "
        f"that there is none. {told_infeasible(problem, anchor)}"
    )


def together(problem: Problem) -> str:
    limits = " and ".join(f"{name} <= {limit:g}" for name, limit in problem.budgets.items())
    return f"budget{'s' if len(problem.budgets) > 1 else ''} {limits}"


def surely(bound: float) -> str:
    """What a bound says, as a sentence before others; nothing where it is infinite."""
    return (
        f"Every subnet is at least {share_percent(bound - 1)} over one of them. "
        if np.isfinite(bound)
        else ""
    )


def told_infeasible(problem: Problem, codes: Codes, nearest: bool = False) -> str:
    """How far over the budgets an arch is, which of them binds, and which would let it in.

    ``nearest`` where it is proven that no arch's largest excess is less.
    """
    [arch] = problem.space.decode(codes)
    costs = {name: problem.costs[name](arch) for name in problem.budgets}
    over = over_budget(costs, problem.budgets)
    figures = ", ".join(
        f"{name} {costs[name]:.6g} ({f'{share_percent(excess)} over' if excess > 0 else 'within'})"
        for name, excess in over.items()
    )
    raised = " ".join(f"--budget {name}={round_up(costs[name]):g}" for name, e in over.items() if e > 0)
    if nearest:
        most = max(over.values())
        binding = [name for name, excess in over.items() if excess >= most - PROVEN]
        said = f"The nearest subnet is arch {arch.id}: {figures}. "
        said += (
            f"The budget that binds is {binding[0]}" if len(binding) == 1 else f"{' and '.join(binding)} bind"
        )
    else:
        total = sum(excess for excess in over.values() if excess > 0)
        said = f"The nearest found is arch {arch.id}: {figures}; {share_percent(total)} over in sum. "
        said += f"The hardest budget is {max(over, key=over.__getitem__)}"
    return f"{said}. This would do: {raised}"


def share_percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


def told_apart(a: float, b: float) -> tuple[str, str]:
    """Two different numbers with as many digits, at least six, as show that they differ."""
    digits = next((n for n in range(6, 17) if f"{a:.{n}g}" != f"{b:.{n}g}"), 17)
    return f"{a:.{digits}g}", f"{b:.{digits}g}"


def round_up(value: float, digits: int = 4) -> float:
    """The least number of ``digits`` significant digits that is not below ``value``."""
    exact = Decimal(repr(float(value)))
    last = Decimal(1).scaleb(exact.adjusted() - digits + 1)
    return float(exact.quantize(last, ROUND_CEILING))
