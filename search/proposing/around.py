"""A sampler around another one: what the inner one draws is looked at before it is proposed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.feasible.region import Region
from search.problem.problem import Problem
from search.proposing.distributions import distributions
from search.proposing.history import History, fixed_columns

ArchValues = dict[str, Any]
"""A value for each dimension of the space: an arch as a trial suggests it."""


class Around(BaseSampler):
    """Asks ``inner`` for archs of the problem's space, and leaves to :meth:`choose` what becomes of them.

    ``seed`` is that of what is proposed beside what ``inner`` draws.
    """

    def __init__(self, inner: BaseSampler, problem: Problem, seed: int) -> None:
        self.inner = inner
        self._problem = problem
        self._seed = seed
        self._history = History(problem)

    @abstractmethod
    def choose(
        self, study: Study, trial: FrozenTrial, draw: Callable[[], ArchValues], region: Region
    ) -> ArchValues:
        """The arch that a trial proposes; called once a trial, unless all of its arch was enqueued.

        ``draw`` gives another arch of ``inner`` each time; ``region`` has the choices that were enqueued.
        """

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All dimensions of the space; called at the start of each trial."""
        return distributions(self._problem.space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> ArchValues:
        """One arch; called once a trial."""
        fixed = trial.system_attrs.get("fixed_params", {})
        if all(name in fixed for name in search_space):
            return {}
        region = Region(self._problem, fixed_columns(self._problem.space, fixed))
        draw = lambda: drawn_by(self.inner, study, trial, search_space, fixed)  # noqa: E731
        return self.choose(study, trial, draw, region)

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


def drawn_by(
    sampler: BaseSampler,
    study: Study,
    trial: FrozenTrial,
    search_space: dict[str, BaseDistribution],
    fixed: ArchValues,
) -> ArchValues:
    """One arch as a sampler by itself would have proposed it."""
    together = sampler.infer_relative_search_space(study, trial)
    params = sampler.sample_relative(study, trial, together)

    def value(name: str, distribution: BaseDistribution) -> Any:
        if name in fixed:
            return fixed[name]
        if distribution.single():
            return distribution.to_external_repr(0)
        if name in params:
            return params[name]
        return sampler.sample_independent(study, trial, name, distribution)

    return {name: value(name, distribution) for name, distribution in search_space.items()}
