"""What a study knows of a problem, read from its trials as they end and not anew for each proposal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from search.feasible.neighbours import keys
from search.problem.problem import Problem
from search.storages.ended import ChoicesByName, EndedTrial
from search.storages.following import ARCH_ID, CLAIM, IDENTITY, followed
from supernet.archs.arch import Choice
from supernet.archs.space import Codes, SearchSpace
from supernet.arrays import Floats

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

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
        self._taken = 0
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

        now = followed(study, self._taken)
        self._take(study, now.ended)
        self._taken += len(now.ended)
        running, others = [], set[bytes]()
        for other in now.open:
            row = codes_of_trial(self._problem.space, other) if other.number != trial.number else None
            if row is not None:
                others.update(keys(row))
                running += [row] if other.state == TrialState.RUNNING else []
        self.running = np.concatenate([self._rows.codes[:0], *running])
        self.seen = Seen(self._ended, others)

    def any_within(self) -> bool:
        """Whether a known arch keeps the budgets; another device's run may have brought all of them."""
        return bool((self.known.totals <= self._problem.limits).all(axis=1).any())

    def _take(self, study: Study, ended: Sequence[EndedTrial]) -> None:
        """Take in trials that have ended, but those that failed and, in a search's study, those that it did not make."""
        from optuna.trial import TrialState

        if not ended:
            return
        if self._of_a_search is None:
            self._of_a_search = IDENTITY in study.user_attrs
        ours = [
            trial
            for trial in ended
            if trial.state != TrialState.FAIL and (ARCH_ID in trial.user_attrs or not self._of_a_search)
        ]
        codes, are_archs = codes_of_ended(self._problem.space, ours)
        self._ended.update(keys(codes[are_archs]))
        place, sign = accuracy_in_values(study, self._problem)
        found = [
            (trial.number, row, *accuracy)
            for trial, row, is_arch in zip(ours, codes, are_archs, strict=True)
            if is_arch and (accuracy := accuracy_of_trial(trial, place, sign, self._problem)) is not None
        ]
        self._add(found)

    def _add(self, ended: list[tuple[int, Codes, float, float]]) -> None:
        if not ended:
            return
        before, after = len(self.known), len(self.known) + len(ended)
        while after > len(self._rows):
            self._rows = Known(*(np.concatenate([column, column]) for column in self._rows.columns()))
        numbers, rows, accuracies, noises = zip(*ended, strict=True)
        codes = np.array(rows)
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


def accuracy_in_values(study: Study, problem: Problem) -> tuple[int, float]:
    """The place of the accuracy among the values of a trial, and its sign where more is better."""
    from optuna.study import StudyDirection

    directions = study.directions
    place = problem.accuracy_index if problem.accuracy_index < len(directions) else 0
    return place, 1.0 if directions[place] == StudyDirection.MAXIMIZE else -1.0


def accuracy_of_trial(
    trial: EndedTrial, place: int, sign: float, problem: Problem
) -> tuple[float, float] | None:
    """Accuracy, more is better, and the multiple of its noise; None where the trial has none.

    Of a trial that was stopped early the estimate.
    """
    from optuna.trial import TrialState

    if trial.state == TrialState.COMPLETE:
        assert trial.values is not None
        value = trial.values[place]
        return (sign * value, 1.0) if math.isfinite(value) else None
    raced = trial.user_attrs.get(RACED)
    if raced is None:
        return None
    return raced[problem.objectives[problem.accuracy_index].name], raced["of"] / raced["images"]


def codes_of_trial(space: SearchSpace, trial: FrozenTrial) -> Codes | None:
    """Canonical codes of a trial that has not ended, shape (1, dimensions), None if it has no arch of the space.

    It has the arch that it was enqueued with, or claims, before its parameters say so: these are written one after the other.
    """
    fixed = trial.system_attrs.get("fixed_params", {})
    row = codes_of(space, {**fixed, **trial.params})
    if row is None and trial.system_attrs.get(CLAIM):
        return np.array([trial.system_attrs[CLAIM]], dtype=np.int16)
    return row


def codes_of_ended(space: SearchSpace, trials: Sequence[EndedTrial]) -> tuple[Codes, npt.NDArray[np.bool_]]:
    """Canonical codes of trials that have ended (n, dimensions), and which of them have an arch of the space (n,)."""
    codes = np.zeros((len(trials), len(space.dimensions)), dtype=np.int16)
    are_archs = np.zeros(len(trials), dtype=np.bool_)
    alike: dict[int, list[int]] = {}
    for place, trial in enumerate(trials):
        if trial.coded is not None:
            alike.setdefault(id(trial.coded.choices), []).append(place)
        elif (row := codes_of(space, trial.params)) is not None:
            codes[place], are_archs[place] = row[0], True
    for places in alike.values():
        coded = [trial.coded for trial in map(trials.__getitem__, places) if trial.coded is not None]
        read = recoded(space, coded[0].choices, np.array([one.codes for one in coded]))
        missing = ((read < 0) & space.active(read)).any(axis=1)
        codes[places], are_archs[places] = space.canonical(np.maximum(read, 0)), ~missing
    return codes, are_archs


def recoded(space: SearchSpace, choices: ChoicesByName, given: Codes) -> Codes:
    """Places of a study's choices (n, parameters) as codes of a space (n, dimensions); -1 for what the space does not have."""
    codes = np.full((len(given), len(space.dimensions)), -1, dtype=np.int16)
    for column, (name, of) in enumerate(choices):
        if (dimension := space.by_name.get(name)) is not None:
            places = [dimension.choices.index(c) if c in dimension.choices else -1 for c in of]
            codes[:, space.index[name]] = np.array(places, dtype=np.int16)[given[:, column]]
    return codes


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
