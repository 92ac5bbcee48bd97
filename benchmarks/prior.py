"""What a prior does to a measured search: a poor one, and three that are wrong on purpose.

    python benchmarks/prior.py [--priors NAME...] [--seeds N] [--out FOLDER]

guided on the embedded supernet, its whole validation split, one budget of multiply-adds. The poor prior
is fitted to 50 subnets drawn at random and measured, as oncefit predictor train does it. Two wrong ones are
made from it: reversed, so that it puts first what is worst, and shuffled, so that it tells nothing. The
third is fitted to the same subnets with their top-1 mixed up: it is smooth, and believes in what is not so.

Subnets are measured as benchmarks/measured_search.py does it and kept in FOLDER/measured.jsonl, so
that an arch is measured once and a stopped benchmark goes on; curves are in FOLDER/prior.json. One
process with one thread.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import optuna
from measured_search import SUPERNET, Oracle, packed, paired_deviation, problem_within, unpacked
from results import OUT, Results, Row, spread

from search.predictors import training
from search.predictors.measured import Measured, of_rows
from search.predictors.protocol import Prediction, Predictor
from search.predictors.scores import score
from search.proposing.distributions import distributions
from search.proposing.samplers import GUIDED, build_sampler
from supernet.archs.space import Codes
from supernet.arrays import Floats
from supernet.families.catalog import open_supernet

NAME = "prior"
BUDGET = 1.5e6
"""Multiply-adds."""
TRIALS = 40
SHOWN = (2, 4, 8, 12, 16, 24, 40)
"""Numbers of measurements that the table has a column for."""
TRAINED_ON, HELD_OUT = 50, 50
POOL = 4096
"""Predictions that a shuffled prior hands out."""
Expected = Callable[[Codes], Floats]


@cache
def trained(oracle: Oracle) -> Predictor:
    """The predictor of 50 measured subnets."""
    made, _ = training.train_predictor(
        open_supernet(SUPERNET), measured(oracle, TRAINED_ON, 0), name="poor", split="validation"
    )
    return made


def measured(oracle: Oracle, count: int, seed: int) -> Measured:
    """Subnets drawn from the whole space at random, with their top-1 on the validation split."""
    space = open_supernet(SUPERNET).space
    archs = space.decode(space.sample(count, np.random.default_rng(seed)))
    return of_rows([(arch, float(oracle(arch).mean())) for arch in archs], space, "random")


def poor(oracle: Oracle) -> Expected:
    """What the predictor of 50 subnets says."""
    space = open_supernet(SUPERNET).space
    return lambda codes: trained(oracle).predict(space, codes).top1


def mixed_up(oracle: Oracle) -> Expected:
    """What a predictor says that was fitted to the same subnets, each with the top-1 of another."""
    supernet, rows = open_supernet(SUPERNET), measured(oracle, TRAINED_ON, 0)
    mixed = replace(rows, top1=np.random.default_rng(4).permutation(rows.top1))
    made = training.fit_saturating(supernet, mixed)
    return lambda codes: made.predict(supernet.space, codes).top1


def reversed_order(oracle: Oracle) -> Expected:
    """What it says, mirrored: the better an arch, the less is expected of it."""
    told, pool = poor(oracle), pooled(oracle)
    return lambda codes: pool.min() + pool.max() - told(codes)


def shuffled(oracle: Oracle) -> Expected:
    """What it says of another arch, picked by a hash: the right level and spread, and no information."""
    pool = pooled(oracle)
    rng = np.random.default_rng(1)
    factors = rng.integers(1, 2**31 - 1, open_supernet(SUPERNET).space.sizes.size)
    return lambda codes: pool[(codes.astype(np.int64) @ factors) % (2**31 - 1) % POOL]


def pooled(oracle: Oracle) -> Floats:
    """Predictions of archs drawn at random, shape (POOL,)."""
    space = open_supernet(SUPERNET).space
    return poor(oracle)(space.sample(POOL, np.random.default_rng(2)))


PRIORS: dict[str, Callable[[Oracle], Expected] | None] = {
    "none": None, "of 50 subnets": poor, "reversed": reversed_order, "shuffled": shuffled,
    "mixed up": mixed_up,
}  # fmt: skip


def search(prior: str, seed: int, oracle: Oracle) -> Row:
    """The best top-1 after each measurement, in order, and the hits of the last of them."""
    make = PRIORS[prior]
    problem = problem_within(BUDGET)
    problem = replace(problem, expected=make(oracle)) if make is not None else problem
    study = optuna.create_study(direction="maximize", sampler=build_sampler(GUIDED, problem, seed, TRIALS))
    found: dict[str, float] = {}
    curve: list[float] = []
    while len(found) < TRIALS:
        trial = study.ask(distributions(problem.space))
        arch = problem.space.arch(trial.params)
        assert problem.within(problem.space.encode([arch]))[0], "guided keeps the budget"
        found[arch.id] = float(oracle(arch).mean())
        study.tell(trial, found[arch.id])
        curve.append(max(found.values()))
    best = max(found, key=lambda name: found[name])
    return {"curve": curve[:TRIALS], "arch": best, "top1": found[best], "hits": packed(oracle.known[best])}


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--priors", nargs="+", default=list(PRIORS), choices=list(PRIORS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--again", nargs="+", default=(), metavar="PRIOR", help="forget the rows of some")
    given = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    given.out.mkdir(parents=True, exist_ok=True)
    results, oracle = Results(NAME, again=given.again, out=given.out), Oracle(given.out / "measured.jsonl")
    for seed in range(given.seeds):
        for prior in given.priors:
            row = results.row(lambda p=prior, s=seed: search(p, s, oracle), peer=prior, seed=seed)  # type: ignore[misc]
            print(f"{prior:14} seed {seed}: {100 * row['top1']:.2f}", flush=True)
    print("\n".join(table(results.rows)))
    print(*told(oracle), sep="\n")


def told(oracle: Oracle) -> list[str]:
    """How well each prior tells subnets apart that it was not trained on."""
    fresh = measured(oracle, HELD_OUT, 3).without(measured(oracle, TRAINED_ON, 0))
    lines = []
    for name, make in PRIORS.items():
        if make is not None:
            found = score(Prediction(make(oracle)(fresh.codes), None), fresh.top1)
            lines.append(f"{name}: Spearman {found.spearman:+.2f} on {found.rows} other subnets")
    return lines


HEADS = ("prior", *map(str, SHOWN), "difference", "noise", "lasting harm")


def lines_of(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """A line a prior: medians with ranges of the best top-1 in % by number of measurements, and what is left at the end.

    The difference is that of the medians at the end from the search without a prior. The noise is the median
    standard deviation of the difference of two searches' best on the same images; within it there is no harm.
    """
    without = [row for row in rows if row["peer"] == "none"]
    lines = []
    for prior in PRIORS:
        mine = [row for row in rows if row["peer"] == prior]
        if not mine or not without:
            continue
        curves = [[100 * row["curve"][n - 1] for row in mine] for n in SHOWN]
        cells = [prior, *(spread(values, ".2f") for values in curves)]
        if prior == "none":
            lines.append((*cells, "", "", ""))
            continue
        difference = statistics.median(curves[-1]) - 100 * statistics.median(r["curve"][-1] for r in without)
        noise = statistics.median(
            100 * paired_deviation(unpacked(a["hits"]), unpacked(b["hits"])) for a in mine for b in without
        )
        harm = "no" if difference >= 0 else "within the noise" if difference >= -noise else "**yes**"
        lines.append((*cells, f"{difference:+.2f}", f"{noise:.2f}", harm))
    return lines


def table(rows: Sequence[Row]) -> list[str]:
    lines = [HEADS, ("---",) * len(HEADS), *lines_of(rows)]
    return ["| " + " | ".join(line) + " |" for line in lines]


if __name__ == "__main__":
    main()
