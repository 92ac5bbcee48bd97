"""How close the proven bound of a predicted search is, and how long joint budgets take to decide.

python benchmarks/certificates.py

First, for budgets of multiply-adds of ofa_mbv3_w1.0 at resolution 224 and the predictor that ships:
the best that a search finds and its seconds, the bound and its seconds, and the gap in points; then
the gap with one linear relaxation, without the further ways of writing the prediction and without
the integer program. Second, on every supernet two costs with the tables of multiply-adds, each entry
times a drawn price, and two budgets that a mixture of two archs keeps, so that the Lagrangian bound
proves nothing: the least largest ratio of a cost to its budget, which is above 1 where no arch keeps
both. About one minute on one idle core.
"""

from __future__ import annotations

import time

import numpy as np

from cost_models.protocol import Target
from cost_models.registry import Cost, build
from cost_models.tables import Factor, TableCost, extreme
from search.feasible.certificate import certify, nearest
from search.predictors import files
from search.predictors import upper_bound as bounds
from search.problem.objectives import parse_objectives
from search.problem.problem import Problem
from search.proposing.predictor_search import search_directly
from supernet import documents
from supernet.families.catalog import open_supernet

SUPERNET = "ofa_mbv3_w1.0"
BUDGETS = (150e6, 200e6, 250e6, 300e6, 350e6, 400e6, 500e6)
SEEDS = 3
WEIGHTS = (0.8, 1.25)
"""Of the second cost: the two archs that are mixed are least in these sums."""


def main() -> None:
    gaps()
    joint()


def gaps() -> None:
    whole = open_supernet(SUPERNET)
    part = whole.restricted({"resolution": [224]})
    predictor, macs = files.open_predictor(SUPERNET, whole), build("macs", Target(part))
    form = predictor.form(part.space)  # type: ignore[attr-defined]
    print("   macs (M)  best (%)  search (s)  bound (%)  bound (s)  gap (points)  one relaxation (points)")
    for budget in BUDGETS:
        problem = Problem(part.space, parse_objectives(["top1"]), {"macs": macs}, {"macs": budget})
        began = time.perf_counter()
        found = search_directly(problem, lambda c: predictor.predict(part.space, c).top1, 10, 0).codes
        searched = time.perf_counter() - began
        top1 = predictor.predict(part.space, found).top1
        began = time.perf_counter()
        bound = bounds.upper_bound(problem, predictor, found[[top1.argmax()]])
        proved = time.perf_counter() - began
        assert bound is not None
        relaxed = bounds.relaxations(bounds.program_of(problem, form), time.monotonic() + 60)
        assert relaxed is not None
        once = float(form.top1(np.array(relaxed[0].bound + form.level)))
        best = float(top1.max())
        print(
            f"{budget / 1e6:11.0f}  {100 * best:8.3f}  {searched:10.2f}  {100 * bound:9.3f}  {proved:9.2f}  "
            f"{100 * (bound - best):12.3f}  {100 * (once - best):23.3f}",
            flush=True,
        )


def joint() -> None:
    print("\nsupernet            seed  Lagrangian  seconds  by integer program  seconds  proven")
    for name in documents.names("supernets"):
        for seed in range(SEEDS):
            problem = drawn(name, seed)
            began = time.perf_counter()
            lagrangian = certify(problem)
            first = time.perf_counter()
            found = nearest(problem, lagrangian.visited)
            second = time.perf_counter()
            print(
                f"{name:20}{seed:4}  {lagrangian.bound:10.6f}  {first - began:7.2f}  {found.bound:18.6f}  "
                f"{second - first:7.2f}  {'yes' if found.exact else 'no':>6}",
                flush=True,
            )


def drawn(name: str, seed: int) -> Problem:
    """Two costs with drawn prices, and budgets half way between two archs that are each least in a weighted sum."""
    supernet, rng = open_supernet(name), np.random.default_rng(seed)
    space = supernet.space
    macs = build("macs", Target(supernet)).model
    assert isinstance(macs, TableCost)
    tables = [
        tuple(Factor(f.columns, f.table * rng.uniform(0.5, 1.5, f.table.shape)) for f in macs.factors)
        for _ in range(2)
    ]
    costs = {
        cost: Cost(TableCost(cost, space, given), space) for cost, given in zip("ab", tables, strict=True)
    }
    ends = [
        extreme(space, [*tables[0], *(Factor(f.columns, weight * f.table) for f in tables[1])], "sum", 1)
        for weight in WEIGHTS
    ]
    both = space.canonical(np.stack(ends))
    budgets = {cost: float(model.batch(both).mean()) for cost, model in costs.items()}
    return Problem(space, parse_objectives(["top1"]), costs, budgets)


if __name__ == "__main__":
    main()
