"""What no arch within the budgets is predicted above, where the form of the predictor allows a proof.

Notation; all but top-1 are latent quality less the form's ``level``, in which the form is a sum:

===============  ==========================================================================================
``known``        the greatest of archs that are within the budgets, below which nothing is looked for
``bounds``       of the relaxation of each form, greater than or equal to that of every arch within
``bound``        the least of these and of what the integer program leaves; ``top1`` of it is the answer
``low, high``    between which the sum of a bend's tables lies, by the least and greatest entry of each
===============  ==========================================================================================
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from cost_models.tables import Factor, TableCost
from search.feasible.integer_program import Line, Program, Total, above, finish, relaxations
from search.predictors.form import Form, Formed
from search.predictors.protocol import Predictor
from search.problem.problem import Problem
from supernet.archs.space import Codes

BOUND_SECONDS = 5.0
FORMS = 4
"""Ways of writing the same prediction that are tried, each after what the relaxation of the last one mixed."""
LATENT_ROUNDING = 1e-5
"""Of the latent quality, which predictors compute in single precision."""


def upper_bound(
    problem: Problem, predictor: Predictor, best: Codes, seconds: float = BOUND_SECONDS
) -> float | None:
    """Top-1 that no arch within the budgets is predicted above; None where the predictor's form allows no proof.

    ``best``, shape (n, dimensions), are archs within the budgets: the better they are, the closer is the bound.
    Budgets of black boxes are not used, which makes the bound higher.
    """
    form = predictor.form(problem.space) if isinstance(predictor, Formed) else None
    if form is None:
        return None
    until = time.monotonic() + seconds
    known = float(form.latent(best).max()) - form.level if len(best) else -np.inf
    bounds = []
    while True:
        relaxed = relaxations(program_of(problem, form), until)
        if relaxed is None:
            return None
        # parts come with the greatest first, which is that of the whole
        bounds.append(relaxed[0].bound)
        if form.tighter is None or len(bounds) == FORMS or time.monotonic() > until:
            break
        form = form.tighter(relaxed[0].mixtures)
    # every form says the same of an arch, so that each of their bounds holds; the integer program has the last one's
    bound = max(known, min(*bounds, finish(relaxed, until, known).bound))
    # top-1 rises with latent quality, so that a bound of this is one of that
    return float(form.top1(np.array(bound + form.level + LATENT_ROUNDING))) if np.isfinite(bound) else None


def program_of(problem: Problem, form: Form) -> Program:
    """The greatest latent quality within the budgets, without its level."""
    totals, forbidden = limits(problem)
    roofs: list[tuple[Line, ...]] = []
    for bend in form.bends:
        # wider than what archs reach, as no arch need have the least or greatest entry of every table
        low, high = (float(sum(end(f.table) for f in bend.factors)) for end in (np.min, np.max))
        roofs.append(above(bend.curve, low, high, len(totals)))
        totals.append(Total(bend.factors))
    return Program(problem.space, form.factors, tuple(totals), tuple(roofs), tuple(forbidden))


def limits(problem: Problem) -> tuple[list[Total], list[Factor]]:
    """The budgets of costs in lookup tables: sums that are at most 1, and where a largest value is over."""
    totals, forbidden = [], []
    for name, limit in problem.budgets.items():
        model = problem.costs[name].model
        if not isinstance(model, TableCost):
            continue
        # a largest value is over exactly where an entry is, which forbids combinations and needs no sum
        if model.combine == "max":
            forbidden += [replace(f, table=(f.table > limit).astype(np.float64)) for f in model.factors]
        else:
            factors = tuple(replace(f, table=f.table / limit) for f in model.factors)
            totals.append(Total(factors, 1 - model.offset / limit))
    return totals, forbidden
