"""Samplers by name. A new one is a function of a problem, a seed and a number of trials, and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from search.problem.problem import Problem
from supernet.errors import unknown

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


@dataclass(frozen=True)
class SamplerSeed:
    """The run's seed, and how many trials its study had when the sampler was made.

    A sampler with one stream of random numbers takes ``stream``, so that a resumed run
    goes on instead of proposing its first archs again.
    """

    run: int
    trials_before: int = 0

    @property
    def stream(self) -> int:
        if self.trials_before == 0:
            return self.run
        return int(np.random.SeedSequence((self.run, self.trials_before)).generate_state(1)[0])


Builder = Callable[[Problem, SamplerSeed, int], "BaseSampler"]


def guided(problem: Problem, seed: SamplerSeed, trials: int) -> BaseSampler:
    """Ours: a surrogate of accuracy, searched under the budgets; seeds itself anew for each trial."""
    from search.proposing.guided import GuidedSampler

    return GuidedSampler(problem, seed=seed.run, startup=startup(trials))


def startup(trials: int) -> int:
    """Of so many trials of ``guided`` those that are spread over the costs before its surrogate leads."""
    return min(16, max(4, trials // 5))


def nsga2(problem: Problem, seed: SamplerSeed, trials: int) -> BaseSampler:
    """Optuna's NSGA-II; the population leaves a small number of trials at least five generations."""
    from optuna.samplers import NSGAIISampler

    population = min(50, max(8, trials // 5))
    sampler = NSGAIISampler(population_size=population, seed=seed.stream)
    return within_budget(recalling(sampler), problem, seed)


def tpe(problem: Problem, seed: SamplerSeed, trials: int) -> BaseSampler:
    """Optuna's tree-structured Parzen estimator; it learns from the constraints of what is over budget."""
    from optuna.samplers import TPESampler

    return recalling(TPESampler(n_startup_trials=min(10, max(4, trials // 5)), seed=seed.stream))


def random(problem: Problem, seed: SamplerSeed, trials: int) -> BaseSampler:
    """Each choice uniform, whatever was measured before."""
    from optuna.samplers import RandomSampler

    return within_budget(RandomSampler(seed=seed.stream), problem, seed)


def recalling(sampler: BaseSampler) -> BaseSampler:
    """The sampler, shown so many trials at most that its proposals do not take longer and longer."""
    from search.proposing.recalling import Recalling

    return Recalling(sampler)


def within_budget(sampler: BaseSampler, problem: Problem, seed: SamplerSeed) -> BaseSampler:
    """The sampler, led to propose within the budgets; as it is where there are none."""
    from search.proposing.within_budget import WithinBudget

    return WithinBudget(sampler, problem, seed.run) if problem.budgets else sampler


GUIDED = "guided"
SAMPLERS: Mapping[str, Builder] = {GUIDED: guided, "nsga2": nsga2, "tpe": tpe, "random": random}


def build_sampler(name: str, problem: Problem, seed: int, trials: int, trials_before: int = 0) -> BaseSampler:
    """The sampler of a name for a study of about ``trials`` trials, which has ``trials_before`` already.

    Raises InputError for an unknown one.
    """
    if name not in SAMPLERS:
        raise unknown("sampler", name, SAMPLERS)
    return SAMPLERS[name](problem, SamplerSeed(seed, trials_before), trials)
