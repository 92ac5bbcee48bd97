"""Optuna's NSGA-II and random sampler, led to propose within the budgets.

NSGA-II takes its populations from measured trials and never sees those over budget.
Costs are free to compute, so a proposal is drawn again until it is new and within,
and mended if it never is.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from search.feasible.neighbours import keys
from search.feasible.region import Region
from search.problem.problem import Problem
from search.proposing.around import ArchValues, Around
from search.proposing.history import codes_of, values_of

DRAWS = 64
"""Archs that the inner sampler is asked for before one of them is mended."""


class WithinBudget(Around):
    """Proposes what ``inner`` draws, within the budgets of ``problem`` and new where that can be had.

    Of at most ``draws`` archs the first that is both is taken; else the last one is repaired
    into the region, or replaced by the nearest arch to its anchor that is new. ``seed`` is
    that of the repairs.
    """

    def __init__(self, inner: BaseSampler, problem: Problem, seed: int, draws: int = DRAWS) -> None:
        super().__init__(inner, problem, seed)
        self._draws = draws

    def choose(
        self, study: Study, trial: FrozenTrial, draw: Callable[[], ArchValues], region: Region
    ) -> ArchValues:
        """The first draw that is within and new, else the last one, mended."""
        space = self._problem.space
        self._history.follow(study, trial)
        seen = self._history.seen
        for _ in range(self._draws):
            params = draw()
            codes = codes_of(space, params)
            if codes is not None and self._problem.within(codes)[0] and keys(codes)[0] not in seen:
                return params
        if not self._problem.within(region.anchor)[0]:
            return params  # where no arch is known to be within, the proposals are the search for one
        assert codes is not None  # every dimension was drawn
        codes = region.repair(codes, np.random.default_rng((self._seed, trial.number)))
        if keys(codes)[0] in seen and len(fresh := region.fresh(seen)):
            codes = fresh[:1]
        return values_of(space, codes[0])
