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
from optuna.storages.journal._storage import JournalOperation as Operation
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, TableClause, func, insert, select, text

from search.storages.reading import PARAMS, SYSTEM_ATTRS, TRIALS, USER_ATTRS, VALUES

Line = dict[str, Any]


class Unflushed(JournalFileBackend):
    """A journal of this process alone, which does not wait for the disk."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._path = path

    def append_logs(self, logs: list[Line]) -> None:
        with open(self._path, "a") as file:
            file.writelines(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)


def fill_journal(path: str, study_id: int, first: int, trials: Sequence[FrozenTrial]) -> None:
    """Append finished trials, the first with the id ``first``, as a search writes them: an operation a line."""
    lines = (
        line for place, trial in enumerate(trials) for line in operations(study_id, first + place, trial)
    )
    Unflushed(path).append_logs([{**line, "worker_id": "filled-0"} for line in lines])


def operations(study_id: int, trial_id: int, trial: FrozenTrial) -> Iterable[Line]:
    """A trial is made, marked and claimed; then come parameters, attributes and its end."""
    running, of_trial = {"state": TrialState.RUNNING, "value": None, "values": None}, {"trial_id": trial_id}
    nothing = {
        "params": {},
        "distributions": {},
        "user_attrs": {},
        "system_attrs": {},
        "intermediate_values": {},
    }
    assert trial.datetime_start is not None
    at = trial.datetime_start.astimezone(UTC).isoformat(timespec="microseconds")
    yield {
        "op_code": Operation.CREATE_TRIAL,
        "study_id": study_id,
        "datetime_start": at,
        **running,
        **nothing,
    }
    for key, value in trial.system_attrs.items():
        yield {"op_code": Operation.SET_TRIAL_SYSTEM_ATTR, **of_trial, "system_attr": {key: value}}
    for name, value in trial.params.items():
        of = trial.distributions[name]
        yield {
            "op_code": Operation.SET_TRIAL_PARAM, **of_trial, "param_name": name,
            "param_value_internal": of.to_internal_repr(value), "distribution": written(of),
        }  # fmt: skip
    for key, value in trial.user_attrs.items():
        yield {"op_code": Operation.SET_TRIAL_USER_ATTR, **of_trial, "user_attr": {key: value}}
    yield {
        "op_code": Operation.SET_TRIAL_STATE_VALUES, **of_trial, "state": trial.state, "values": trial.values,
        "datetime_complete": at,
    }  # fmt: skip


def add_to_database(storage: RDBStorage, name: str, trials: Sequence[FrozenTrial]) -> None:
    """Put finished trials into the study of that name, in one transaction.

    Raises AssertionError where Optuna does not read the last one as it was given.
    """
    fill_database(storage, name, trials)
    [*_, last] = optuna.load_study(study_name=name, storage=storage).get_trials(deepcopy=False)
    assert told(last) == told(trials[-1])


def fill_database(storage: RDBStorage, name: str, trials: Sequence[FrozenTrial]) -> None:
    """Put finished trials into the study of that name, in one transaction; nobody else may write."""
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
            write_rows(connection, table, of)
        if (
            storage.engine.dialect.name == "postgresql"
        ):  # which counts ids by itself, and only those that it gave
            connection.execute(text(f"select setval('trials_trial_id_seq', {trial_id + len(trials)})"))


def write_rows(connection: Connection, table: TableClause, lines: Sequence[Line]) -> None:
    """By PostgreSQL's own way for many rows, else one by one."""
    if connection.dialect.name != "postgresql":
        connection.execute(insert(table), lines)
        return
    names = list(lines[0])
    told = f"copy {table.name} ({', '.join(names)}) from stdin"
    with connection.connection.cursor() as cursor, cursor.copy(told) as copy:  # type: ignore[attr-defined]
        for line in lines:
            copy.write_row([line[name] for name in names])


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
