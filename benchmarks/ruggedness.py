"""How rugged a predictor is within a budget, and how much of it its slopes tell.

    python benchmarks/ruggedness.py [--oracle NAME...] [--archs N]

Archs are drawn within each budget and climbed by steps of up to three changes. Shown is how far below the best of
the ends the others are, in how many choices they differ from it, and how the slopes of drawn archs and of ends
correlate with what single changes are predicted to add.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from oracles import ORACLES, REFERENCE, Oracle, open_oracle

from search.feasible.neighbours import distinct
from search.feasible.region import Region
from search.proposing.changes import SingleChanges
from search.proposing.first_archs import skewed
from search.proposing.hill_climbing import climb
from search.reports.units import amount
from supernet.archs.space import Codes

STEPS = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--oracle", nargs="+", default=list(ORACLES), choices=list(ORACLES))
    parser.add_argument("--archs", type=int, default=48)
    parser.add_argument("--reference", type=Path, default=REFERENCE)
    given = parser.parse_args()
    for name in given.oracle:
        oracle = open_oracle(name, given.reference)
        for budget in oracle.budgets:
            print(
                f"{name} {amount(oracle.cost.name, budget)}: {told(oracle, budget, given.archs)}", flush=True
            )


def told(oracle: Oracle, budget: float, count: int) -> str:
    problem, rng = oracle.within(budget), np.random.default_rng(0)
    drawn = distinct(Region(problem).repair(skewed(oracle.space, 2 * count, rng), rng))[:count]
    limits = np.repeat(problem.limits[None], len(drawn), axis=0)
    ends, top1 = climb(problem, drawn, limits, oracle.predict, STEPS)
    below = 100 * (top1.max() - top1)
    apart = (ends != ends[top1.argmax()]).sum(axis=1)
    words = (
        f"ends {np.median(below):.2f} points below the best of them, at most {below.max():.2f}, "
        f"in {np.median(apart):.0f} of {len(oracle.space.sizes)} choices unlike it"
    )
    if oracle.slope is None:
        return f"{words}; it has no slopes"
    return f"{words}; slopes correlate {correlation(oracle, drawn):.3f}, {correlation(oracle, ends):.3f} at the ends"


def correlation(oracle: Oracle, codes: Codes) -> float:
    """The median over archs of the correlation of estimated with predicted gains of all single changes."""
    assert oracle.slope is not None
    singles = SingleChanges(oracle.both())
    top1, slopes_of = oracle.slope(codes)
    estimated = singles.gains(slopes_of(np.arange(len(codes))), codes)
    predicted = singles.judged_gains(codes, top1, oracle.predict)
    each = [
        np.corrcoef(*gains[:, np.isfinite(gains).all(axis=0)])[0, 1]
        for gains in np.stack([estimated, predicted], axis=1)
    ]
    return float(np.median(each))


if __name__ == "__main__":
    main()
