"""Many workers on one study, in one process: a study as a search has it, and a clock that is simulated.

A worker that is free asks the study for a trial, which is told when its seconds have passed; what others are at meanwhile
stands in the study as running. Study, storage (in memory) and samplers are those of a search; each worker has a sampler of its
own, as a process would. The processor's seconds of each proposal are measured and put on the clock. Proposals of
several workers may overlap; what a worker claims is seen by the others from the moment on at which it begins to think.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import optuna

from search.problem.problem import Problem
from search.proposing.distributions import distributions
from supernet.archs.space import Codes
from supernet.arrays import Floats

MEDIAN_S, SIGMA, STRAGGLERS, STRAGGLES = 60.0, 0.5, 0.05, 5.0
"""An evaluation's seconds: log-normal, and of so many evaluations so many times as long."""


@dataclass(frozen=True)
class Simulated:
    """Archs (n, dimensions) in the order in which their evaluations ended, when these did, and seconds of each proposal."""

    codes: Codes
    seconds: list[float]
    thought: list[float]


def simulated(
    problem: Problem,
    judge: Callable[[Codes], Floats],
    sampler: Callable[[], optuna.samplers.BaseSampler],
    workers: int,
    evaluations: int,
    seed: int,
) -> Simulated:
    """The first so many evaluations of a study, which ``judge`` gives the accuracies (n,) of."""
    study = optuna.create_study(directions=[objective.direction for objective in problem.objectives])
    samplers = [sampler() for _ in range(workers)]
    choices = distributions(problem.space)
    rows, ends, thought = [], [], []
    # a worker stands in the heap once, so that two of the same moment are told apart by their numbers
    events: list[tuple[float, int, optuna.Trial | None]] = [(0.0, worker, None) for worker in range(workers)]
    while True:
        now, worker, trial = heapq.heappop(events)
        if trial is not None:
            codes = problem.space.encode([problem.space.arch(trial.params)])
            costs = problem.totals(codes)[0, list(problem.cost_objectives)]
            study.tell(trial, [float(judge(codes)[0]), *costs.tolist()])
            rows.append(codes)
            ends.append(now)
        if len(rows) == evaluations:
            return Simulated(np.concatenate(rows), ends, thought)
        study.sampler = samplers[worker]
        began = time.process_time()
        trial = study.ask(choices)
        thought.append(time.process_time() - began)
        heapq.heappush(events, (now + thought[-1] + duration(seed, trial.number), worker, trial))


def duration(seed: int, number: int) -> float:
    """Seconds that the evaluation of a trial takes, whatever the number of workers."""
    rng = np.random.default_rng([seed, number])
    seconds = MEDIAN_S * float(np.exp(SIGMA * rng.normal()))
    return seconds * STRAGGLES if rng.random() < STRAGGLERS else seconds
