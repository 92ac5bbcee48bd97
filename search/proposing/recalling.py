"""Optuna's samplers, which look at every trial for each proposal, shown a number of trials that does not grow.

What NSGA-II and TPE take for a proposal grows with the trials that they see: that of TPE beyond a minute at 10,000 trials
of two objectives. Up to :data:`MOST_RECALLED` trials they see all. Of more they see those that no other dominates, as far as half of them,
and the newest: NSGA-II's last generations, and what TPE calls good beside what it has just tried.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Sequence
from typing import Any, cast

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.storages.ended import EndedTrial
from search.storages.following import as_frozen, followed

MOST_RECALLED = 1_000
"""Ended trials that a sampler sees."""


class Recalling(BaseSampler):
    """Asks ``inner``, which sees of a study no more than ``most`` of the trials that have ended."""

    def __init__(self, inner: BaseSampler, most: int = MOST_RECALLED) -> None:
        self.inner = inner
        self._most = most
        self._taken = 0
        self._recalled: list[EndedTrial] = []
        self._whole: dict[int, FrozenTrial] = {}
        self._open: list[FrozenTrial] = []

    def follow(self, study: Study) -> None:
        """Take in what has happened since the last look."""
        now = followed(study, self._taken)
        self._recalled += now.ended
        self._taken += len(now.ended)
        self._open = now.open
        if len(self._recalled) > self._most:
            self._recalled = recalled(self._recalled, study.directions, self._most)
        new = [trial for trial in self._recalled if trial.number not in self._whole]
        known = self._whole | {trial.number: trial for trial in as_frozen(study, new)}
        self._whole = {trial.number: known[trial.number] for trial in self._recalled}

    def shown(self, study: Study) -> Study:
        """The study as the inner sampler sees it."""
        trials = sorted([*self._whole.values(), *self._open], key=lambda trial: trial.number)
        return study_showing(study, trials)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Called at the start of each trial, before anything is drawn."""
        self.follow(study)
        self.inner.before_trial(self.shown(study), trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.inner.infer_relative_search_space(self.shown(study), trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self.inner.sample_relative(self.shown(study), trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self.inner.sample_independent(self.shown(study), trial, param_name, param_distribution)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        self.inner.after_trial(self.shown(study), trial, state, values)

    def reseed_rng(self) -> None:
        self.inner.reseed_rng()


def study_showing(study: Study, trials: list[FrozenTrial]) -> Study:
    """The study as it would be with no other trials than these."""
    shown = copy.copy(study)
    shown._storage = cast(BaseStorage, Recalled(study._storage, trials))
    return shown


class Recalled:
    """A storage that has no other trials than these; all else is as it is."""

    def __init__(self, storage: BaseStorage, trials: list[FrozenTrial]) -> None:
        self._storage = storage
        self._trials = trials

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        found = [trial for trial in self._trials if states is None or trial.state in states]
        return copy.deepcopy(found) if deepcopy else found


def recalled(
    ended: Sequence[EndedTrial], directions: Sequence[StudyDirection], most: int
) -> list[EndedTrial]:
    """Of many trials so many: at most half of them of the front, evenly over its first objective, and the newest."""
    import moocore

    complete = [trial for trial in ended if trial.state == TrialState.COMPLETE]
    signs = [-1.0 if of == StudyDirection.MAXIMIZE else 1.0 for of in directions]
    values = np.array([trial.values for trial in complete]).reshape(len(complete), len(signs)) * signs
    front = np.flatnonzero(moocore.is_nondominated(values, keep_weakly=False))
    front = front[np.argsort(values[front, 0] * signs[0], kind="stable")]
    spread = np.unique(np.linspace(0, len(front) - 1, min(len(front), most // 2)).round().astype(int))
    kept = {complete[place].number: complete[place] for place in front[spread]}
    for trial in sorted(ended, key=lambda trial: -trial.number):
        if len(kept) == most:
            break
        kept.setdefault(trial.number, trial)
    return sorted(kept.values(), key=lambda trial: trial.number)
