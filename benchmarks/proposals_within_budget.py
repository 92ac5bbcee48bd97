"""How many proposals a sampler needs for one measured candidate under a budget, and how good its finds are.

python benchmarks/proposals_within_budget.py [--plain] [SAMPLER ...]

Nothing is measured. A closed form stands for the accuracy of an arch: with z the codes of its
choices in its canonical form (0 for a skipped block), each divided by the greatest code of its
dimension, and weights w_i = 1 + sin(i) / 2 for the dimensions i = 1, 2, ...,

    top-1 = 0.95 - 0.1 exp(-3 sum(w z) / sum(w))

The last column but one is the best top-1 in percent, or for two objectives the hypervolume of the
front as a percentage of the box from top-1 0.85 to 0.95 and from no multiply-adds to the budget.

--plain takes Optuna's samplers as they are, without search.proposing.within_budget. All samplers without names.
"""

from __future__ import annotations

import statistics
import sys
import time

import moocore
import numpy as np
import optuna

from cost_models.protocol import Target
from cost_models.registry import build
from search.problem.objectives import parse_objectives
from search.problem.problem import Problem
from search.proposing.distributions import distributions
from search.proposing.samplers import SAMPLERS, build_sampler
from search.proposing.within_budget import WithinBudget
from search.runs.trials import PROPOSALS_PER_TRIAL
from supernet.archs.space import Codes, SearchSpace
from supernet.families.catalog import open_supernet

TRIALS = 40
SEEDS = 5
SHARES = (0.05, 0.3)
"""Where the budget lies between the least and the greatest multiply-adds."""


def top1(space: SearchSpace, codes: Codes) -> float:
    weights = 1 + np.sin(np.arange(1, len(space.sizes) + 1)) / 2
    return float(0.95 - 0.1 * np.exp(-3 * (codes[0] / (space.sizes - 1)) @ weights / weights.sum()))


def search(problem: Problem, sampler: optuna.samplers.BaseSampler) -> dict[str, float]:
    """What search.runs.trials does with proposals, in memory."""
    study = optuna.create_study(directions=[o.direction for o in problem.objectives], sampler=sampler)
    choices = distributions(problem.space)
    smallest = {d.name: d.choices[0] for d in problem.space.dimensions}
    study.enqueue_trial(smallest)  # a search begins with an arch that is known to be within
    known: dict[str, tuple[float, float]] = {}  # (0.95 - top-1) / 0.1 and the cost relative to its budget
    proposals, over, began = 0, 0, time.perf_counter()
    while len(known) < TRIALS and proposals < TRIALS * PROPOSALS_PER_TRIAL:
        trial = study.ask(choices)
        proposals += 1
        arch = problem.space.arch(trial.params)
        codes = problem.space.encode([arch])
        [costs] = problem.totals(codes)
        named = dict(zip(problem.costs, costs.tolist(), strict=True))
        for name, limit in problem.budgets.items():
            trial.set_constraint(name, named[name] / limit - 1)
        if not problem.within(codes)[0]:
            over += 1
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            continue
        accuracy = top1(problem.space, codes)
        known[arch.id] = (0.95 - accuracy) / 0.1, float(costs[0] / problem.limits[0])
        study.tell(trial, [accuracy if o.is_accuracy else named[o.name] for o in problem.objectives])
    if len(problem.objectives) > 1:
        quality = float(moocore.hypervolume(np.array(list(known.values())), ref=(1.0, 1.0)))
    else:
        quality = 0.95 - 0.1 * min(loss for loss, _ in known.values())
    return {
        "measured": len(known),
        "proposals": proposals / len(known),
        "over": over / len(known),
        "repeats": (proposals - over - len(known)) / len(known),
        "quality": quality,
        "ms_per_proposal": 1e3 * (time.perf_counter() - began) / proposals,
    }


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    supernet = open_supernet("fmnist_mbv3")
    macs = build("macs", Target(supernet))
    reach = macs.reach()
    print(f"{SEEDS} seeds, {TRIALS} trials; medians; proposals, over and repeats for each measured candidate")
    print("objectives  share  sampler  measured  proposals    over  repeats     quality  ms/proposal")
    for objectives in (["top1"], ["top1", "macs"]):
        for share in SHARES:
            budget = reach.minimum + share * (reach.maximum - reach.minimum)
            problem = Problem(
                supernet.archs.space, parse_objectives(objectives), {"macs": macs}, {"macs": budget}
            )
            for name in [n for n in sys.argv[1:] if n in SAMPLERS] or SAMPLERS:
                found = []
                for seed in range(SEEDS):
                    sampler = build_sampler(name, problem, seed, TRIALS)
                    if "--plain" in sys.argv and isinstance(sampler, WithinBudget):
                        sampler = sampler.inner
                    found.append(search(problem, sampler))
                medians = {key: statistics.median(one[key] for one in found) for key in found[0]}
                print(
                    f"{','.join(objectives):10}  {share:5.2f}  {name:7}  {medians['measured']:8g}  "
                    f"{medians['proposals']:9.2f}  {medians['over']:6.2f}  {medians['repeats']:7.2f}  "
                    f"{100 * medians['quality']:10.3f}  {medians['ms_per_proposal']:11.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
