"""The storage of a study: Optuna's database, read and filled with whole trials in a fraction of the time that Optuna takes.

A trial that is given whole, as another device's run judged it, is written in a statement a table, where Optuna asks the
database three questions about each parameter. How trials are read: :mod:`search.storages.reading`.
``tests/search/storages/test_database.py`` holds what is read and written so against Optuna's own way, and names all that is
used of Optuna without a public name.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import TrialModel, TrialSystemAttributeModel, TrialUserAttributeModel
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import ColumnElement, TableClause, delete, insert, or_
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
from search.storages.together import Kept

MOST_BY_ID = 500
"""Ids that are named in one query at most: databases take a limited number of values."""


class Param(NamedTuple):
    """A parameter of a trial that is kept back; its value is Optuna's, the place of a choice."""

    name: str
    value: float
    distribution: BaseDistribution

    @property
    def text(self) -> str:
        return distribution_to_json(self.distribution)

    @property
    def row(self) -> dict[str, Any]:
        return {"param_name": self.name, "param_value": self.value, "distribution_json": self.text}


class Attribute(NamedTuple):
    """An attribute of a trial that is kept back, and Optuna's class of its table."""

    of: type
    key: str
    value: Any


class Database(RDBStorage):
    """Optuna's storage of a database, with its own way to read trials, to add whole ones, and to write several things at once."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._compatible: set[tuple[int, str, str]] = set()
        """Parameters of studies, with their distributions, that Optuna has found to agree with earlier trials."""
        self._kept = Kept[Param | Attribute]()

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

    @contextmanager
    def kept_back(self, trial_id: int) -> Iterator[None]:
        """See :func:`search.storages.together.written_together`."""
        with self._kept.back() as writes:
            yield
        if writes:
            self.write_together(trial_id, writes)

    def write_together(self, trial_id: int, writes: Sequence[Param | Attribute]) -> None:
        """In one transaction, which may be begun again where the answer to it was lost.

        Raises UpdateFinishedTrialError where the trial has ended.
        """
        with _create_scoped_session(self.scoped_session, True) as session:
            trial: Any = TrialModel.find_or_raise_by_id(trial_id, session)
            self.check_trial_is_updatable(trial_id, trial.state)
            rows, new = [], set[tuple[int, str, str]]()
            for write in writes:
                if isinstance(write, Attribute):
                    self._set_trial_attr_without_commit(session, write.of, trial_id, write.key, write.value)
                    continue
                key = (trial.study_id, write.name, write.text)
                if key in self._compatible:
                    rows.append({"trial_id": trial_id, **write.row})
                else:
                    self._set_trial_param_without_commit(
                        session, trial_id, write.name, write.value, write.distribution
                    )
                    new.add(key)
            if rows:  # those of a first time whose answer was lost are written over
                names = [row["param_name"] for row in rows]
                session.execute(
                    delete(PARAMS).where(PARAMS.c.trial_id == trial_id, PARAMS.c.param_name.in_(names))
                )
                session.execute(insert(PARAMS), rows)
        self._compatible |= new

    def _set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None,
    ) -> None:  # fmt: skip
        """Called by Optuna, with the distribution of earlier trials if it knows that."""
        if not self._kept.keeps(Param(param_name, param_value_internal, distribution)):
            super()._set_trial_param(
                trial_id, param_name, param_value_internal, distribution, previous_distribution
            )

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        if not self._kept.keeps(Attribute(TrialUserAttributeModel, key, value)):
            super().set_trial_user_attr(trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        if not self._kept.keeps(Attribute(TrialSystemAttributeModel, key, value)):
            super().set_trial_system_attr(trial_id, key, value)

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

    def _read(self, *wanted: ColumnElement[bool]) -> list[FrozenTrial]:
        try:
            with self.engine.connect() as connection:
                return trials(connection, wanted)
        except SQLAlchemyError as error:
            raise StorageInternalError(f"cannot read the trials: {error}") from error


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
