"""Trials that have ended, read from Optuna's tables without what nobody asks of them: in a third of the time and a tenth of the memory.

What takes longest of a trial of ofa_mbv3_w1.0 are its 46 parameters, a row each. Their codes stand in one row too, where a
sampler of oncefit claimed them (:mod:`search.proposing.claims`); of other trials the database puts the rows together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Container, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import ColumnElement, Connection, Row, select

from search.storages.ended import Coded, EndedTrial, coded, collector_waits, local, shared_choices
from search.storages.following import CLAIM
from search.storages.reading import (
    MANY,
    MOST_BY_ID,
    NOT_FINITE,
    SYSTEM_ATTRS,
    TOGETHER,
    TRIALS,
    USER_ATTRS,
    VALUES,
    attributes_by_row,
    attributes_together,
    by_id,
    codes_together,
    params_by_row,
    parsed_codes,
    trials,
)

TRIALS_AT_ONCE = 5_000
"""Trials that are read together at most: what the database gave of them is in memory then."""

ENDED_STATES = {state.name: state for state in TrialState if state.is_finished()}

CodedById = dict[int, Coded | dict[str, Any]]
Wanted = Collection[ColumnElement[bool]]


def trials_in_short(connection: Connection, wanted: Wanted) -> list[EndedTrial | FrozenTrial]:
    """The trials that are wanted, in the order of their ids; those that have not ended, and few, are whole.

    Of a trial that claimed its arch, what blocks have that it skips is the smallest choice.
    """
    heads = connection.execute(select(TRIALS).where(*wanted).order_by(TRIALS.c.trial_id)).all()
    if not heads:
        return []
    if len(heads) <= MANY:
        return [*trials(connection, wanted)]
    found: list[EndedTrial | FrozenTrial] = []
    with collector_waits():
        for begin in range(0, len(heads), TRIALS_AT_ONCE):
            found += some_in_short(connection, wanted, heads[begin : begin + TRIALS_AT_ONCE])
    return found


def looked_at_again(connection: Connection, trial_ids: Sequence[int]) -> list[FrozenTrial]:
    """Trials that were open, by id: as they ended, or with what others ask of an open one, which is no parameter if it claimed its arch.

    Each process looks at all that others have open, again and again.
    """
    parts = [trial_ids[begin : begin + MOST_BY_ID] for begin in range(0, len(trial_ids), MOST_BY_ID)]
    return [trial for part in parts for trial in some_looked_at(connection, part)]


def some_looked_at(connection: Connection, trial_ids: Sequence[int]) -> list[FrozenTrial]:
    wanted = [TRIALS.c.trial_id.in_(trial_ids)]
    heads = connection.execute(select(TRIALS).where(*wanted)).all()
    system_attrs, user_attrs = (
        attributes_by_row(connection, of, wanted) for of in (SYSTEM_ATTRS, USER_ATTRS)
    )
    found: list[FrozenTrial] = []
    whole: list[int] = []
    for head in heads:
        state, marks = TrialState[head.state], system_attrs.get(head.trial_id, {})
        if state.is_finished() or (state == TrialState.RUNNING and not marks.get(CLAIM)):
            whole.append(head.trial_id)
            continue
        found.append(
            FrozenTrial(
                number=head.number, state=state, value=None, datetime_start=local(head.datetime_start),
                datetime_complete=None, params={}, distributions={}, user_attrs=user_attrs.get(head.trial_id, {}),
                system_attrs=marks, intermediate_values={}, trial_id=head.trial_id,
            )
        )  # fmt: skip
    return [*found, *by_id(connection, whole)]


def some_in_short(
    connection: Connection, wanted: Wanted, heads: Sequence[Row[Any]]
) -> list[EndedTrial | FrozenTrial]:
    wanted = [*wanted, TRIALS.c.trial_id.between(heads[0].trial_id, heads[-1].trial_id)]
    ended = [head for head in heads if head.state in ENDED_STATES]
    found: list[EndedTrial | FrozenTrial] = [
        *by_id(connection, [head.trial_id for head in heads if head.state not in ENDED_STATES])
    ]
    params = coded_params(connection, wanted, ended)
    read = attributes_together if connection.dialect.name in TOGETHER else attributes_by_row
    user_attrs = read(connection, USER_ATTRS, wanted)
    values = values_in_order(connection, wanted)
    found += [
        EndedTrial(
            head.trial_id, head.number, ENDED_STATES[head.state], values.get(head.trial_id),
            params.get(head.trial_id, {}), user_attrs.get(head.trial_id, {}),
            head.datetime_start, head.datetime_complete, in_utc=True,
        )
        for head in ended
    ]  # fmt: skip
    return found


def values_in_order(connection: Connection, wanted: Wanted) -> dict[int, list[float]]:
    """The values of trials by id, in the order of objectives."""
    query = select(VALUES.c.trial_id, VALUES.c.objective, VALUES.c.value, VALUES.c.value_type)
    query = query.join_from(VALUES, TRIALS, VALUES.c.trial_id == TRIALS.c.trial_id).where(*wanted)
    found = defaultdict[int, list[float]](list)
    for trial_id, _, value, kind in connection.execute(query.order_by(VALUES.c.objective)).all():
        found[trial_id].append(value if value is not None else NOT_FINITE[kind])
    return found


def coded_params(connection: Connection, wanted: Wanted, ended: Sequence[Row[Any]]) -> CodedById:
    """Parameters of trials by id: as they were claimed, else as they were suggested.

    A trial that failed may have claimed an arch and suggested nothing.
    """
    failed = TrialState.FAIL.name
    judged = {head.trial_id for head in ended if head.state != failed}
    found = claimed_params(connection, wanted, judged)
    missing = [head.trial_id for head in ended if head.trial_id not in found]
    if missing and len(missing) <= MOST_BY_ID:
        return found | coded_together(connection, [TRIALS.c.trial_id.in_(missing)])
    return found | coded_together(connection, wanted) if missing else found


def claimed_params(connection: Connection, wanted: Wanted, among: Container[int]) -> CodedById:
    """Of those trials ``among`` these that claimed an arch its codes; all of a study have the same parameters."""
    query = select(SYSTEM_ATTRS.c.trial_id, SYSTEM_ATTRS.c.value_json)
    query = query.join_from(SYSTEM_ATTRS, TRIALS, SYSTEM_ATTRS.c.trial_id == TRIALS.c.trial_id)
    query = query.where(*wanted, SYSTEM_ATTRS.c.key == CLAIM, SYSTEM_ATTRS.c.value_json != "[]")
    found = [row for row in connection.execute(query) if row.trial_id in among]
    if not found:
        return {}
    codes = parsed_codes(",".join(row.value_json[1:-1] for row in found)).reshape(len(found), -1)
    like = coded_together(connection, [TRIALS.c.trial_id == found[0].trial_id])[found[0].trial_id]
    if not isinstance(like, Coded) or len(like.choices) != codes.shape[1]:
        return {}
    return {row.trial_id: Coded(like.choices, of.tobytes()) for row, of in zip(found, codes, strict=True)}


def coded_together(connection: Connection, wanted: Wanted) -> CodedById:
    """Parameters as they were suggested."""
    groups = codes_together(connection, wanted) if connection.dialect.name in TOGETHER else None
    if groups is None:
        return {i: coded(*of) for i, of in params_by_row(connection, wanted).items()}
    found: CodedById = {}
    for kinds, trial_ids, codes in groups:
        choices = shared_choices(tuple((name, of.choices) for name, of in kinds.items()))
        found |= {i: Coded(choices, row.tobytes()) for i, row in zip(trial_ids, codes, strict=True)}
    return found
