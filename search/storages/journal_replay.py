"""What a journal's lines amount to: Optuna's replay, which reads a distribution once.

Each parameter of each trial has a line with its distribution, as the trials before have it. To parse that and to compare it
with theirs takes Optuna two thirds of the time in which it opens a journal, and each trial its own copy.
"""

from __future__ import annotations

import copy
from typing import Any

from optuna.storages.journal._storage import JournalStorageReplayResult

from search.storages.ended import shared_distribution


class Replay(JournalStorageReplayResult):
    def __init__(self, worker_id_prefix: str) -> None:
        super().__init__(worker_id_prefix)
        self._agreed: set[tuple[int, str, str]] = set()
        """Studies, parameters and distributions that Optuna has found to agree with earlier trials."""

    def _apply_set_trial_param(self, log: dict[str, Any]) -> None:
        """Called by Optuna for a line that sets a parameter."""
        trial_id, name, text = log["trial_id"], log["param_name"], log["distribution"]
        key = (self._trial_id_to_study_id.get(trial_id, -1), name, text)
        if key not in self._agreed:
            before = self._trials.get(trial_id)
            super()._apply_set_trial_param(log)
            if self._trials.get(trial_id) is not before:  # nothing spoke against it
                self._agreed.add(key)
        elif self._trial_exists_and_updatable(trial_id, log):
            kind = shared_distribution(text)
            trial = copy.copy(self._trials[trial_id])  # the one before may be in somebody's hands
            trial.params = {**trial.params, name: kind.to_external_repr(log["param_value_internal"])}
            trial.distributions = {**trial.distributions, name: kind}
            self._trials[trial_id] = trial
