"""Many finished trials into a study at once, in seconds where Optuna takes ten minutes, and as Optuna would have them.

``Study.add_trial`` asks a database, for each parameter of each trial, whether its distribution fits those before, and
waits for the disk after each trial of a journal. Trials that are there only to be found again need neither.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial
from sqlalchemy import TableClause, func, insert, select

from search.storages.database import PARAMS, SYSTEM_ATTRS, TRIALS, USER_ATTRS, VALUES

Line = dict[str, Any]


class Unflushed(JournalFileBackend):
    """A journal of this process alone, which does not wait for the disk."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._path = path

    def append_logs(self, logs: list[Line]) -> None:
        with open(self._path, "a") as file:
            file.writelines(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)


def add_to_database(storage: RDBStorage, name: str, trials: Sequence[FrozenTrial]) -> None:
    """Put finished trials into the study of that name, in one transaction.

    Raises AssertionError where Optuna does not read the last one as it was given.
    """
    study_id = storage.get_study_id_from_name(name)
    with storage.engine.begin() as connection:
        number = connection.scalar(select(func.count()).where(TRIALS.c.study_id == study_id)) or 0
        trial_id = connection.scalar(select(func.max(TRIALS.c.trial_id))) or 0
        places = enumerate(trials, start=1)
        lines: dict[TableClause, list[Line]] = {}
        for place, trial in places:
            head = {"trial_id": trial_id + place, "number": number + place - 1, "study_id": study_id}
            for table, line in lines_of(head, trial):
                lines.setdefault(table, []).append(line)
        for table, of in lines.items():
            connection.execute(insert(table), of)
    [*_, last] = optuna.load_study(study_name=name, storage=storage).get_trials(deepcopy=False)
    assert told(last) == told(trials[-1])


def lines_of(head: Line, trial: FrozenTrial) -> Iterable[tuple[TableClause, Line]]:
    """The rows of a trial, each with its table."""
    trial_id = {"trial_id": head["trial_id"]}
    times = {"datetime_start": utc(trial.datetime_start), "datetime_complete": utc(trial.datetime_complete)}
    yield TRIALS, {**head, "state": trial.state.name, **times}
    for objective, value in enumerate(trial.values or ()):
        yield VALUES, {**trial_id, "objective": objective, "value": value, "value_type": "FINITE"}
    for name, value in trial.params.items():
        of = trial.distributions[name]
        row = {
            "param_name": name,
            "param_value": of.to_internal_repr(value),
            "distribution_json": written(of),
        }
        yield PARAMS, {**trial_id, **row}
    for table, attributes in ((USER_ATTRS, trial.user_attrs), (SYSTEM_ATTRS, trial.system_attrs)):
        for key, value in attributes.items():
            yield table, {**trial_id, "key": key, "value_json": json.dumps(value)}


def utc(local: datetime | None) -> datetime | None:
    """A time as a database keeps it, of one as Optuna gives it."""
    return local.astimezone(UTC).replace(tzinfo=None) if local is not None else None


@cache
def written(distribution: BaseDistribution) -> str:
    return distribution_to_json(distribution)


def told(trial: FrozenTrial) -> tuple[object, ...]:
    """All of a trial but where it is."""
    return (
        trial.state, trial.values, trial.params, trial.distributions, trial.user_attrs, trial.system_attrs,
        trial.datetime_start, trial.datetime_complete,
    )  # fmt: skip
