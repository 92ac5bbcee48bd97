"""Optuna's NSGA-II and random sampler, led to propose within the budgets.

NSGA-II takes its populations from measured trials and never sees those over budget.
Costs are free to compute, so a proposal is drawn again until it is new and within,
and mended if it never is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.feasible.neighbours import keys
from search.feasible.region import Region
from search.problem.problem import Problem
from search.proposing.claims import drawn_by
from search.proposing.distributions import distributions
from search.proposing.history import History, codes_of, fixed_columns

DRAWS = 64
"""Archs that the inner sampler is asked for before one of them is mended."""


class WithinBudget(BaseSampler):
    """Proposes what ``inner`` draws, within the budgets of ``problem`` and new where that can be had.

    Of at most ``draws`` archs the first that is both is taken; else the last one is repaired
    into the region, or replaced by the nearest arch to its anchor that is new. ``seed`` is
    that of the repairs.
    """

    def __init__(self, inner: BaseSampler, problem: Problem, seed: int, draws: int = DRAWS) -> None:
        self.inner = inner
        self._problem = problem
        self._seed = seed
        self._draws = draws
        self._history = History(problem)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All dimensions of the space; called at the start of each trial."""
        return distributions(self._problem.space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """One arch; called once a trial."""
        space = self._problem.space
        fixed = trial.system_attrs.get("fixed_params", {})
        if all(name in fixed for name in search_space):
            return {}
        region = Region(self._problem, fixed_columns(space, fixed))
        self._history.follow(study, trial)
        seen = self._history.seen
        for _ in range(self._draws):
            params = drawn_by(self.inner, study, trial, search_space, fixed)
            codes = codes_of(space, params)
            if codes is not None and self._problem.within(codes)[0] and keys(codes)[0] not in seen:
                return params
        if not self._problem.within(region.anchor)[0]:
            return params  # where no arch is known to be within, the proposals are the search for one
        assert codes is not None  # every dimension was drawn
        codes = region.repair(codes, np.random.default_rng((self._seed, trial.number)))
        if keys(codes)[0] in seen and len(fresh := region.fresh(seen)):
            codes = fresh[:1]
        return {d.name: d.choices[int(i)] for d, i in zip(space.dimensions, codes[0], strict=True)}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """What ``inner`` draws; called for parameters that are not of the space."""
        return self.inner.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self.inner.before_trial(study, trial)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        self.inner.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        self.inner.reseed_rng()
