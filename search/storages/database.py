"""The storage of a study: Optuna's database, read and filled with whole trials in a fraction of the time that Optuna takes.

A trial that is given whole, as another device's run judged it, is written in a statement a table, where Optuna asks the
database three questions about each parameter. How trials are read: :mod:`search.storages.reading`.
``tests/search/storages/test_database.py`` holds what is read and written so against Optuna's own way, and names all that is
used of Optuna without a public name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import TrialModel, TrialSystemAttributeModel, TrialUserAttributeModel
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import ColumnElement, Connection, TableClause, delete, insert, or_, select
from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    OperationalError,
    PendingRollbackError,
    SQLAlchemyError,
    TimeoutError,
)
from sqlalchemy.orm import Session

from search.storages.ended import EndedTrial
from search.storages.reading import (
    MOST_BY_ID,
    PARAMS,
    SYSTEM_ATTRS,
    TRIALS,
    USER_ATTRS,
    by_id,
    trials,
)
from search.storages.reading_ended import looked_at_again, trials_in_short
from search.storages.together import Kept

ReadTrial = TypeVar("ReadTrial")


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

    def trials_since(
        self, study_id: int, after_id: int, trial_ids: Sequence[int]
    ) -> list[EndedTrial | FrozenTrial]:
        """See :class:`search.storages.following.ReadsAtOnce`. Each of the two questions has an index that answers it."""
        newer = self._asked(trials_in_short, [TRIALS.c.study_id == study_id, TRIALS.c.trial_id > after_id])
        return [*self._asked(looked_at_again, trial_ids), *newer]

    def whole_trials(self, trial_ids: Sequence[int]) -> list[FrozenTrial]:
        """See :class:`search.storages.following.ReadsAtOnce`."""
        return self._asked(by_id, trial_ids)

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
        params = [write for write in writes if isinstance(write, Param)]
        with _create_scoped_session(self.scoped_session, True) as session:
            trial: Any = TrialModel.find_or_raise_by_id(trial_id, session)
            self.check_trial_is_updatable(trial_id, trial.state)
            study_id = trial.study_id
            for write in writes:
                if isinstance(write, Attribute):
                    self._set_trial_attr_without_commit(session, write.of, trial_id, write.key, write.value)
            # those of a first time whose answer was lost are written over
            names = [param.name for param in params]
            session.execute(
                delete(PARAMS).where(PARAMS.c.trial_id == trial_id, PARAMS.c.param_name.in_(names))
            )
            self._put_params(session, trial, params)
        self._compatible.update(keys_of(study_id, params))

    def _put_params(self, session: Session, trial: Any, params: Sequence[Param]) -> None:
        """Those that agree with earlier trials, as is known, in one statement; of the others Optuna finds it out."""
        keys = keys_of(trial.study_id, params)
        known = [param for param, key in zip(params, keys, strict=True) if key in self._compatible]
        for param in params:
            if param not in known:
                self._set_trial_param_without_commit(session, trial.trial_id, *param)
        if known:
            session.execute(insert(PARAMS), [{"trial_id": trial.trial_id, **param.row} for param in known])

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
        """Called by Optuna within the transaction that makes a trial, in which nobody else makes one of the study.

        Where it counts all trials of the study for the number of a new one, this looks at the last.
        """
        template = template_trial or started_now()
        made: Any = TrialModel(
            study_id=study_id, number=None, state=TrialState.RUNNING,
            datetime_start=template.datetime_start, datetime_complete=template.datetime_complete,
        )  # fmt: skip
        session.add(made)
        session.flush()  # only now is SQLite closed to others, who may have made one meanwhile
        made.number = number_after(session, study_id, made.trial_id)
        for objective, value in enumerate(template.values or ()):
            self._set_trial_value_without_commit(session, made, objective, value)
        for step, value in template.intermediate_values.items():
            self._set_trial_intermediate_value_without_commit(session, made.trial_id, step, value)
        params = params_of(template)
        self._put_params(session, made, params)
        self._compatible.update(keys_of(study_id, params))
        for table, rows in rows_of_attributes(template).items():
            if rows:
                session.execute(insert(table), [{"trial_id": made.trial_id, **row} for row in rows])
        made.state = template.state
        return made

    def _read(self, *wanted: ColumnElement[bool]) -> list[FrozenTrial]:
        return self._asked(trials, wanted)

    def _asked(self, read: Callable[[Connection, Any], list[ReadTrial]], of: Any) -> list[ReadTrial]:
        try:
            with self.engine.connect() as connection:
                return read(connection, of)
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


def started_now() -> FrozenTrial:
    """What a new trial is that nothing is said of."""
    return create_trial(state=TrialState.RUNNING)


def number_after(session: Session, study_id: int, trial_id: int) -> int:
    """The number of a trial by those before it in its study: they have no gaps, and ascend with their ids."""
    before = select(TRIALS.c.number).where(TRIALS.c.study_id == study_id, TRIALS.c.trial_id < trial_id)
    last = session.execute(before.order_by(TRIALS.c.trial_id.desc()).limit(1)).scalar()
    return 0 if last is None else last + 1


def params_of(trial: FrozenTrial) -> list[Param]:
    kinds = trial.distributions
    return [
        Param(name, kinds[name].to_internal_repr(value), kinds[name]) for name, value in trial.params.items()
    ]


def keys_of(study_id: int, params: Iterable[Param]) -> list[tuple[int, str, str]]:
    return [(study_id, param.name, param.text) for param in params]


def rows_of_attributes(trial: FrozenTrial) -> Mapping[TableClause, list[dict[str, Any]]]:
    """What Optuna keeps of a trial's attributes."""
    return {
        of: [{"key": key, "value_json": json.dumps(value)} for key, value in attributes.items()]
        for of, attributes in ((USER_ATTRS, trial.user_attrs), (SYSTEM_ATTRS, trial.system_attrs))
    }
