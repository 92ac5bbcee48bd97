"""What a study knows of a problem, read from its trials as they end and not anew for each proposal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from search.feasible.neighbours import keys
from search.problem.problem import Problem
from search.storages.following import ARCH_ID, IDENTITY, Follower
from supernet.archs.arch import Choice
from supernet.archs.space import Codes, SearchSpace
from supernet.arrays import Floats

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

CLAIM = "oncefit:codes"
"""System attribute of a trial with the codes of the arch that it claims (:mod:`search.proposing.claims`); empty where it has none.

Others see it before its parameters are set.
"""

RACED = "raced"
"""User attribute of a trial that was stopped early (:meth:`search.runs.racing.Raced.attribute`)."""


@dataclass(frozen=True)
class Known:
    """Archs with an accuracy, in the order of their trials.

    Codes (n, dimensions), accuracies (n,), costs (n, costs), numbers of trials (n,), and how many times as
    great the variance of an accuracy's noise is as that of one measured on the whole split (n,).
    """

    codes: Codes
    accuracy: Floats
    totals: Floats
    numbers: npt.NDArray[np.intp]
    noise: Floats

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: slice | npt.NDArray[np.intp]) -> Known:
        return Known(*(column[rows] for column in self.columns()))

    def columns(self) -> tuple[Any, ...]:
        return self.codes, self.accuracy, self.totals, self.numbers, self.noise


@dataclass(frozen=True)
class Seen:
    """Keys of archs that need not be proposed again: of trials that have ended, and of those that have not."""

    ended: set[bytes]
    others: set[bytes]

    def __contains__(self, key: object) -> bool:
        return key in self.ended or key in self.others


class History:
    """Follows one study: ``known`` archs, those ``running`` (n, dimensions), and all that were ``seen``.

    Trials that had ended before are not looked at again, so that a proposal costs the same after
    ten trials and after ten thousand.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._follower = Follower()
        self._of_a_search: bool | None = None
        self._ended: set[bytes] = set()
        self._rows = Known(
            np.empty((64, len(problem.space.dimensions)), dtype=np.int16), np.empty(64),
            np.empty((64, len(problem.costs))), np.empty(64, dtype=np.intp), np.empty(64),
        )  # fmt: skip
        self.known = self._rows[:0]
        self.running: Codes = self.known.codes
        self.seen = Seen(self._ended, set())

    def follow(self, study: Study, trial: FrozenTrial) -> None:
        """Take in what has happened in the study's trials but ``trial``, the one that a proposal is made for."""
        from optuna.trial import TrialState

        if self._of_a_search is None:
            self._of_a_search = IDENTITY in study.user_attrs
        running, others, ended = [], set[bytes](), []
        for other in self._follower.news(study, but=trial.number):
            row = codes_of_trial(self._problem.space, other)
            foreign = self._of_a_search and other.state.is_finished() and ARCH_ID not in other.user_attrs
            if row is None or foreign or other.state == TrialState.FAIL:
                continue
            if not other.state.is_finished():
                others.update(keys(row))
                running += [row] if other.state == TrialState.RUNNING else []
                continue
            self._ended.update(keys(row))
            accuracy = accuracy_of_trial(study, other, self._problem)
            ended += [(other.number, row, *accuracy)] if accuracy is not None else []
        self._add(ended)
        self.running = np.concatenate([self._rows.codes[:0], *running])
        self.seen = Seen(self._ended, others)

    def any_within(self) -> bool:
        """Whether a known arch keeps the budgets; another device's run may have brought all of them."""
        return bool((self.known.totals <= self._problem.limits).all(axis=1).any())

    def _add(self, ended: list[tuple[int, Codes, float, float]]) -> None:
        if not ended:
            return
        before, after = len(self.known), len(self.known) + len(ended)
        while after > len(self._rows):
            self._rows = Known(*(np.concatenate([column, column]) for column in self._rows.columns()))
        numbers, rows, accuracies, noises = zip(*ended, strict=True)
        codes = np.concatenate(rows)
        new = Known(
            codes, np.array(accuracies), self._problem.totals(codes), np.array(numbers), np.array(noises)
        )
        for column, added in zip(self._rows.columns(), new.columns(), strict=True):
            column[before:after] = added
        self.known = self._rows[:after]
        if (np.diff(self.known.numbers) < 0).any():  # one that began earlier ended later
            order = np.argsort(self.known.numbers)
            for column in self.known.columns():
                column[:] = column[order]


def accuracy_of_trial(study: Study, trial: FrozenTrial, problem: Problem) -> tuple[float, float] | None:
    """Accuracy, more is better, and the multiple of its noise; None where the trial has none.

    Of a trial that was stopped early the estimate.
    """
    from optuna.study import StudyDirection
    from optuna.trial import TrialState

    if trial.state == TrialState.COMPLETE:
        index = problem.accuracy_index if problem.accuracy_index < len(study.directions) else 0
        value = trial.values[index]
        sign = 1.0 if study.directions[index] == StudyDirection.MAXIMIZE else -1.0
        return (sign * value, 1.0) if np.isfinite(value) else None
    raced = trial.user_attrs.get(RACED)
    if raced is None:
        return None
    return raced[problem.objectives[problem.accuracy_index].name], raced["of"] / raced["images"]


def codes_of_trial(space: SearchSpace, trial: FrozenTrial) -> Codes | None:
    """Canonical codes of a trial, shape (1, dimensions), None if it has no arch of the space.

    A trial that has not ended has the arch that it was enqueued with, or claims, before its parameters say so: these
    are written one after the other.
    """
    fixed = trial.system_attrs.get("fixed_params", {})
    if trial.state.is_finished():
        return codes_of(space, trial.params or fixed)
    row = codes_of(space, {**fixed, **trial.params})
    if row is None and trial.system_attrs.get(CLAIM):
        return np.array([trial.system_attrs[CLAIM]], dtype=np.int16)
    return row


def fixed_columns(space: SearchSpace, values: Mapping[str, Choice]) -> dict[int, int]:
    """Column to code of those ``values`` that are choices of the space."""
    by_name = space.by_name
    return {
        space.index[name]: by_name[name].choices.index(value)
        for name, value in values.items()
        if name in by_name and value in by_name[name].choices
    }


def codes_of(space: SearchSpace, values: Mapping[str, Choice]) -> Codes | None:
    """Canonical codes, shape (1, dimensions), of an arch's values; None where one that counts is missing."""
    codes = np.full((1, len(space.dimensions)), -1, dtype=np.int16)
    for column, code in fixed_columns(space, values).items():
        codes[0, column] = code
    missing: npt.NDArray[np.bool_] = (codes < 0) & space.active(codes)
    return None if missing.any() else space.canonical(codes)


def values_of(space: SearchSpace, row: Codes) -> dict[str, Choice]:
    """The value of every dimension, of codes of shape (dimensions,)."""
    return {d.name: d.choices[int(i)] for d, i in zip(space.dimensions, row, strict=True)}
