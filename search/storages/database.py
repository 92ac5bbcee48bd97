"""The storage of a study: Optuna's database, read and filled with whole trials in a fraction of the time that Optuna takes.

A trial that is given whole, as another device's run judged it, is written in a statement a table, where Optuna asks the
database three questions about each parameter. How trials are read: :mod:`search.storages.reading`.
``tests/search/storages/test_database.py`` holds what is read and written so against Optuna's own way, and names all that is
used of Optuna without a public name.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from optuna.distributions import BaseDistribution, check_distribution_compatibility, distribution_to_json
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import ColumnElement, TableClause, delete, insert, or_, select
from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    OperationalError,
    PendingRollbackError,
    SQLAlchemyError,
    TimeoutError,
)
from sqlalchemy.orm import Session

from search.storages.reading import PARAMS, SYSTEM_ATTRS, TRIALS, USER_ATTRS, trials

MOST_BY_ID = 500
"""Ids that are named in one query at most: databases take a limited number of values."""


class Database(RDBStorage):
    """Optuna's storage of a database, with its own way to read trials, and to add whole ones."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._compatible: set[tuple[int, str, str]] = set()
        """Parameters of studies, with their distributions, that Optuna has found to agree with earlier trials."""
        self._expected: dict[int, int] = {}
        self._collected: dict[int, dict[str, dict[str, Any]]] = {}
        """How many parameters of a trial are written at once, and those that wait for the others, by trial id."""

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Raises KeyError where there is no such trial."""
        found = self._read(TRIALS.c.trial_id == trial_id)
        if not found:
            raise KeyError(f"there is no trial with the id {trial_id}")
        return found[0]

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        """Called by Optuna's cache: those that it holds as open, and those that are newer than all that it holds."""
        included = {trial_id for trial_id in included_trial_ids if trial_id <= trial_id_greater_than}
        if len(included) > MOST_BY_ID:
            return super()._get_trials(study_id, states, included_trial_ids, trial_id_greater_than)
        newer = TRIALS.c.trial_id > trial_id_greater_than
        wanted = or_(newer, TRIALS.c.trial_id.in_(included)) if included else newer
        found = self._read(TRIALS.c.study_id == study_id, wanted)
        return [trial for trial in found if states is None or trial.state in states]

    def _get_prepared_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None, session: Session
    ) -> Any:
        """Called by Optuna within the transaction that makes a trial."""
        if template_trial is None:
            return super()._get_prepared_new_trial(study_id, template_trial, session)
        texts = {name: distribution_to_json(of) for name, of in template_trial.distributions.items()}
        keys = {(study_id, name, text) for name, text in texts.items()}
        if not keys <= self._compatible:
            made = super()._get_prepared_new_trial(study_id, template_trial, session)
            self._compatible |= keys
            return made
        made = super()._get_prepared_new_trial(study_id, without_dictionaries(template_trial), session)
        for to, rows in rows_of_trial(template_trial, texts).items():
            if rows:
                session.execute(insert(to), [{"trial_id": made.trial_id, **row} for row in rows])
        return made

    @contextmanager
    def params_at_once(self, trial_id: int, count: int) -> Iterator[None]:
        """Write so many parameters of a trial in one statement, where Optuna has a transaction for each."""
        self._expected[trial_id] = count
        try:
            yield
            self._write_params(trial_id)
        finally:
            self._expected.pop(trial_id)
            self._collected.pop(trial_id, None)

    def _set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None = None,
    ) -> None:
        """Called by Optuna's cache; where a study has no such parameter yet, Optuna finds out what is possible."""
        if trial_id not in self._expected or previous_distribution is None:
            super()._set_trial_param(
                trial_id, param_name, param_value_internal, distribution, previous_distribution
            )
            return
        check_distribution_compatibility(previous_distribution, distribution)
        collected = self._collected.setdefault(trial_id, {})
        collected[param_name] = {
            "trial_id": trial_id, "param_name": param_name, "param_value": param_value_internal,
            "distribution_json": distribution_to_json(distribution),
        }  # fmt: skip
        if len(collected) == self._expected[trial_id]:
            self._write_params(trial_id)  # what is asked again, as no answer came, is written anew

    def _write_params(self, trial_id: int) -> None:
        collected = self._collected.get(trial_id)
        if not collected:
            return
        with self.engine.begin() as connection:
            state = connection.scalar(select(TRIALS.c.state).where(TRIALS.c.trial_id == trial_id))
            if state is not None and TrialState[state].is_finished():
                raise UpdateFinishedTrialError(f"trial {trial_id} has ended and cannot be changed")
            same = (PARAMS.c.trial_id == trial_id, PARAMS.c.param_name.in_(collected))
            connection.execute(delete(PARAMS).where(*same))
            connection.execute(insert(PARAMS).values(list(collected.values())))
        del self._collected[trial_id]

    def _read(self, *wanted: ColumnElement[bool]) -> list[FrozenTrial]:
        try:
            with self.engine.connect() as connection:
                return trials(connection, wanted)
        except SQLAlchemyError as error:
            raise StorageInternalError(f"cannot read the trials: {error}") from error


@contextmanager
def params_at_once(storage: BaseStorage, trial_id: int, count: int) -> Iterator[None]:
    """:meth:`Database.params_at_once` where the storage is a database, behind Optuna's cache; else nothing."""
    database = getattr(storage, "_backend", None)
    with database.params_at_once(trial_id, count) if isinstance(database, Database) else nullcontext():
        yield


def is_unreachable(error: BaseException | None) -> bool:
    """Whether a database's server does not answer now, or let go of what it was at: what was asked may be asked again."""
    while error is not None:
        if isinstance(error, (OperationalError, InterfaceError, TimeoutError, PendingRollbackError)):
            return True
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            return True
        error = error.__cause__
    return False


def without_dictionaries(trial: FrozenTrial) -> FrozenTrial:
    """The same trial without parameters and attributes."""
    return FrozenTrial(
        number=trial.number, state=trial.state, value=None, values=trial.values,
        datetime_start=trial.datetime_start, datetime_complete=trial.datetime_complete, params={}, distributions={},
        user_attrs={}, system_attrs={}, intermediate_values=trial.intermediate_values, trial_id=trial._trial_id,
    )  # fmt: skip


def rows_of_trial(trial: FrozenTrial, texts: Mapping[str, str]) -> Mapping[TableClause, list[dict[str, Any]]]:
    """What Optuna keeps of a trial's parameters and attributes; ``texts`` are the distributions of the first."""
    params = [
        {
            "param_name": name,
            "param_value": trial.distributions[name].to_internal_repr(value),
            "distribution_json": texts[name],
        }
        for name, value in trial.params.items()
    ]
    user, system = (
        [{"key": key, "value_json": json.dumps(value)} for key, value in attributes.items()]
        for attributes in (trial.user_attrs, trial.system_attrs)
    )
    return {PARAMS: params, USER_ATTRS: user, SYSTEM_ATTRS: system}
