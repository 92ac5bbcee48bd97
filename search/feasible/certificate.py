"""Several budgets at once: an arch that keeps them all, or a proof that there is none.

An arch that keeps every budget keeps every weighted mean of (cost / budget) at 1 or less. So
where the least such mean over the whole space is above 1 for some weights, no arch keeps them
all (Lagrangian duality; Everett, 1963). For costs in lookup tables that least mean is exact: the
weighted tables are summed and reduced as those of one cost. Budgets of costs that are a largest
value need no weight: choices that exceed them are forbidden. The weights come from cutting planes
(Kelley, 1960). Between proof and arch a gap may remain; an integer program closes it
(:mod:`search.feasible.integer_program`), and finds the arch whose largest excess is least.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from cost_models.tables import Factor, TableCost, extreme
from search.feasible.integer_program import Line, Program, Total, solve_program
from search.problem.problem import Problem
from supernet.archs.space import Codes
from supernet.arrays import Floats

NEAREST_SECONDS = 5.0
"""For the integer program; whole spaces of ImageNet's supernets take a second or two."""
CUTS = 30
"""Weights that are tried."""
MEAN_ROUNDING = 1e-9
"""A mean must be above 1 by more than this to prove anything."""
PROVEN = 3e-6
"""And a bound of the integer program by this, since its solver rounds."""


@dataclass(frozen=True)
class Joint:
    """``bound``: every arch has some cost at this many times its budget or more; infinite if forbidden outright.

    ``visited`` are the archs that were met on the way, shape (n, dimensions).
    """

    bound: float
    visited: Codes

    @property
    def infeasible(self) -> bool:
        return self.bound > 1 + MEAN_ROUNDING


@dataclass(frozen=True)
class Nearest:
    """``bound``: every arch has some cost at this many times its budget or more.

    ``codes``, shape (1, dimensions), reach it where it is ``exact``; else they are the nearest arch known.
    """

    bound: float
    codes: Codes
    exact: bool

    @property
    def infeasible(self) -> bool:
        return self.bound > 1 + PROVEN


def certify(problem: Problem) -> Joint:
    """The best bound of a few weights; stops at the first arch within all budgets."""
    tables = {
        name: cost.model
        for name, cost in problem.costs.items()
        if name in problem.budgets and isinstance(cost.model, TableCost)
    }
    sums = [(model, problem.budgets[name]) for name, model in tables.items() if model.combine == "sum"]
    forbidden = [
        Factor(f.columns, np.where(f.table > problem.budgets[name], np.inf, 0.0))
        for name, model in tables.items() if model.combine == "max" for f in model.factors
    ]  # fmt: skip
    bound = 0.0
    visited: list[Codes] = []
    cuts: list[Floats] = []
    weights: Floats | None = np.full(len(sums), 1 / max(len(sums), 1))
    while weights is not None and len(visited) < CUTS:
        weighted = [
            Factor(f.columns, f.table * (weight / limit))
            for weight, (model, limit) in zip(weights, sums, strict=True) for f in model.factors
        ]  # fmt: skip
        codes = extreme(problem.space, [*weighted, *forbidden], "sum", 1)[None]
        codes = problem.space.canonical(codes)
        visited.append(codes)
        if any(np.isinf(f.look_up(codes)[0]) for f in forbidden):
            return Joint(np.inf, np.concatenate(visited))
        ratios = np.array([model.batch(codes)[0] / limit for model, limit in sums])
        bound = max(bound, float(weights @ ratios))
        if bound > 1 + MEAN_ROUNDING or problem.within(codes)[0]:
            break
        cuts.append(ratios)
        weights = better_weights(cuts)
    return Joint(bound, np.concatenate(visited))


@lru_cache(maxsize=8)
def nearest_of(problem: Problem) -> Nearest:
    """The arch nearest to all budgets together, which may take seconds; each problem is solved once."""
    return nearest(problem, certify(problem).visited)


def nearest(problem: Problem, known: Codes) -> Nearest:
    """The arch whose largest cost relative to its budget is least, by integer programming; 1 or less is as good as 1.

    ``known`` are archs, at least one, the nearer the better. Costs in no lookup tables are left out of account.
    """
    models = [(problem.costs[name].model, limit) for name, limit in problem.budgets.items()]
    totals: list[Total] = []
    lines, ratios = [Line(0, 0.0, -1.0)], [np.ones(len(known))]
    for model, limit in models:
        if not isinstance(model, TableCost):
            continue
        ratios.append(model.batch(known) / limit)
        scaled = [Factor(f.columns, f.table / limit) for f in model.factors]
        # a largest value is within where each of its tables is
        for factors in [tuple(scaled)] if model.combine == "sum" else [(f,) for f in scaled]:
            lines.append(Line(len(totals), -1.0, -model.offset / limit if model.combine == "sum" else 0.0))
            totals.append(Total(factors))
    worst = np.max(ratios, axis=0)
    best, least = known[[worst.argmin()]], float(worst.min())
    found = (
        solve_program(Program(problem.space, (), tuple(totals), (tuple(lines),)), NEAREST_SECONDS, -least)
        if totals
        else None
    )
    if found is None:
        return Nearest(0.0, best, exact=False)
    return Nearest(-found.bound, found.codes if found.codes is not None else best, found.proven)


def better_weights(cuts: Sequence[Floats]) -> Floats | None:
    """Weights whose mean of every cut is as high as can be; None where that is 1 or less, which proves nothing."""
    from scipy.optimize import linprog

    k = len(cuts[0])
    if k == 0:
        return None
    # variables: weights, then the mean t; maximise t with t <= cut @ weights
    found = linprog(
        [*[0.0] * k, -1.0],
        A_ub=[[*-cut, 1.0] for cut in cuts],
        b_ub=[0.0] * len(cuts),
        A_eq=[[*[1.0] * k, 0.0]],
        b_eq=[1.0],
        bounds=[(0, None)] * k + [(None, None)],
    )
    if found.x is None or found.x[k] <= 1 + MEAN_ROUNDING:
        return None
    return np.asarray(found.x[:k], dtype=np.float64)
