"""Trials read from Optuna's tables: a row a trial and table, where Optuna makes an object of each row.

The parameters of 100,000 trials of ofa_mbv3_w1.0 are 4.6 million rows. The database puts those of a trial together; their
distributions, which Optuna demands to be the same in all trials of a study where they are categorical, are read once
and shared.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    Integer,
    TableClause,
    Text,
    case,
    cast,
    column,
    func,
    literal,
    select,
    table,
)

from search.storages.ended import local, shared_distribution

TRIALS = table(
    "trials", column("trial_id"), column("number"), column("study_id"), column("state"),
    column("datetime_start", DateTime()), column("datetime_complete", DateTime()),
)  # fmt: skip
PARAMS = table(
    "trial_params", column("param_id"), column("trial_id"), column("param_name"), column("param_value"),
    column("distribution_json"),
)  # fmt: skip
VALUES = table("trial_values", column("trial_id"), column("objective"), column("value"), column("value_type"))
STEPS = table(
    "trial_intermediate_values", column("trial_id"), column("step"), column("intermediate_value"),
    column("intermediate_value_type"),
)  # fmt: skip
USER_ATTRS, SYSTEM_ATTRS = (
    table(name, column("trial_id"), column("key"), column("value_json"))
    for name in ("trial_user_attributes", "trial_system_attributes")
)
NOT_FINITE = {"INF_POS": float("inf"), "INF_NEG": float("-inf"), "NAN": float("nan")}
"""What a value is whose column is empty, by its type."""

MOST_BY_ID = 500
"""Ids that are named in one query at most: databases take a limited number of values."""

MANY = 64
"""Of more trials than that, what is in rows of its own is put together by the database, and comes in a row a trial."""
TOGETHER = {"sqlite": (func.group_concat, func.json_quote, func.char(31)),
            "postgresql": (func.string_agg, func.to_json, func.chr(31))}  # fmt: skip
"""How databases put texts together, write one as JSON, and call the character that stands between names."""
UNIT_SEPARATOR = "\x1f"
CATEGORICAL = '{"name": "CategoricalDistribution"'

RowsByTrial = Mapping[int, list[Any]]
"""The rows of a table by trial id, which is not in them."""

Params = tuple[dict[str, Any], dict[str, BaseDistribution]]
"""The parameters of a trial and their distributions, which trials share: nobody may change them."""


def trials(connection: Connection, wanted: Collection[ColumnElement[bool]]) -> list[FrozenTrial]:
    """The trials that are wanted, in the order of their ids.

    Their states are read first: what a trial that has ended records was written before it ended.
    """
    heads = connection.execute(select(TRIALS).where(*wanted).order_by(TRIALS.c.trial_id)).all()
    if not heads:
        return []
    together = len(heads) > MANY and connection.dialect.name in TOGETHER
    params = (params_together(connection, wanted) if together else None) or params_by_row(connection, wanted)
    read = attributes_together if together else attributes_by_row
    user_attrs, system_attrs = (read(connection, of, wanted) for of in (USER_ATTRS, SYSTEM_ATTRS))
    values = rows(connection, wanted, VALUES, "objective", "value", "value_type")
    steps = rows(connection, wanted, STEPS, "step", "intermediate_value", "intermediate_value_type")
    return [
        FrozenTrial(
            number=head.number,
            state=TrialState[head.state],
            value=None,
            values=[number for _, number in sorted(numbers(values.get(head.trial_id, ())))] or None,
            datetime_start=local(head.datetime_start),
            datetime_complete=local(head.datetime_complete),
            params=params[head.trial_id][0] if head.trial_id in params else {},
            distributions=params[head.trial_id][1] if head.trial_id in params else {},
            user_attrs=user_attrs.get(head.trial_id, {}),
            system_attrs=system_attrs.get(head.trial_id, {}),
            intermediate_values=dict(numbers(steps.get(head.trial_id, ()))),
            trial_id=head.trial_id,
        )
        for head in heads
    ]


def by_id(connection: Connection, trial_ids: Sequence[int]) -> list[FrozenTrial]:
    """Whole trials, by so many ids as databases take."""
    parts = [trial_ids[begin : begin + MOST_BY_ID] for begin in range(0, len(trial_ids), MOST_BY_ID)]
    return [trial for part in parts for trial in trials(connection, [TRIALS.c.trial_id.in_(part)])]


def rows(
    connection: Connection, wanted: Collection[ColumnElement[bool]], of: TableClause, *columns: str, order: str | None = None,
) -> RowsByTrial:  # fmt: skip
    """Those of the trials that are wanted."""
    query = select(of.c.trial_id, *(of.c[name] for name in columns))
    query = query.join_from(of, TRIALS, of.c.trial_id == TRIALS.c.trial_id).where(*wanted)
    query = query.order_by(of.c[order]) if order is not None else query
    grouped = defaultdict(list)
    for trial_id, *row in connection.execute(query):
        grouped[trial_id].append(row)
    return grouped


# -- parameters -----------------------------------------------------------------


def params_by_row(connection: Connection, wanted: Collection[ColumnElement[bool]]) -> dict[int, Params]:
    """In the order in which they were suggested."""
    found = rows(
        connection, wanted, PARAMS, "param_name", "param_value", "distribution_json", order="param_id"
    )
    return {
        trial_id: (
            {name: shared_distribution(given).to_external_repr(internal) for name, internal, given in of},
            {name: shared_distribution(given) for name, _, given in of},
        )
        for trial_id, of in found.items()
    }


def params_together(
    connection: Connection, wanted: Collection[ColumnElement[bool]]
) -> dict[int, Params] | None:
    """The same, in a row a trial; None where some are not categorical, so that trials may differ in distributions."""
    groups = codes_together(connection, wanted)
    if groups is None:
        return None
    return {
        trial_id: (
            {name: of.choices[code] for (name, of), code in zip(kinds.items(), row, strict=True)},
            kinds,
        )
        for kinds, trial_ids, codes in groups
        for trial_id, row in zip(trial_ids, codes.tolist(), strict=True)
    }


CodesOfKinds = tuple[dict[str, Any], list[int], npt.NDArray[np.int16]]
"""Distributions in the order in which they were suggested, the ids of trials with these, and places of choices (trials, parameters)."""


def codes_together(
    connection: Connection, wanted: Collection[ColumnElement[bool]]
) -> list[CodesOfKinds] | None:
    """Trials with the same parameters together; None where some parameter is not categorical.

    The database gives a trial's names and codes as two texts, in an order of its own.
    """
    joined, _, between = TOGETHER[connection.dialect.name]
    other = case((PARAMS.c.distribution_json.startswith(CATEGORICAL), 0), else_=1)
    code = cast(cast(PARAMS.c.param_value, Integer), Text)
    query = select(
        TRIALS.c.trial_id, joined(PARAMS.c.param_name, between), joined(code, literal(",")), func.max(other)
    )
    texts = defaultdict[str, list[tuple[int, str]]](list)
    for trial_id, names, codes, others in connection.execute(grouped_by_trial(query, PARAMS, wanted)):
        if others:
            return None
        texts[names].append((trial_id, codes))
    found = []
    for names, of in texts.items():
        [(_, kinds)] = params_by_row(connection, [TRIALS.c.trial_id == of[0][0]]).values()
        given = names.split(UNIT_SEPARATOR)
        codes = parsed_codes(",".join(text for _, text in of)).reshape(len(of), -1)
        in_turn = codes[:, [given.index(name) for name in kinds]]
        found.append((kinds, [trial_id for trial_id, _ in of], in_turn))
    return found


def parsed_codes(text: str) -> npt.NDArray[np.int16]:
    """Whole numbers with commas between them."""
    return np.fromstring(text, dtype=np.int16, sep=",")


def grouped_by_trial(query: Any, of: TableClause, wanted: Collection[ColumnElement[bool]]) -> Any:
    joined = query.join_from(of, TRIALS, of.c.trial_id == TRIALS.c.trial_id).where(*wanted)
    return joined.group_by(TRIALS.c.trial_id)  # by which SQLite finds them in order


# -- attributes and numbers -----------------------------------------------------


def attributes_by_row(
    connection: Connection, of: TableClause, wanted: Collection[ColumnElement[bool]]
) -> dict[int, dict[str, Any]]:
    found = rows(connection, wanted, of, "key", "value_json")
    return {trial_id: {key: json.loads(value) for key, value in some} for trial_id, some in found.items()}


def attributes_together(
    connection: Connection, of: TableClause, wanted: Collection[ColumnElement[bool]]
) -> dict[int, dict[str, Any]]:
    """The same, in a row a trial, which is parsed at once."""
    joined, quoted, _ = TOGETHER[connection.dialect.name]
    pair = cast(quoted(of.c.key), Text) + literal(":") + cast(of.c.value_json, Text)
    query = select(TRIALS.c.trial_id, joined(pair, literal(",")))
    found = connection.execute(grouped_by_trial(query, of, wanted)).all()
    return {trial_id: json.loads("{" + text + "}") for trial_id, text in found}


def numbers(given: Iterable[tuple[int, float | None, str]]) -> list[tuple[int, float]]:
    """Numbers with their places: as they are, or what their type says where they are not finite."""
    return [(place, value if value is not None else NOT_FINITE[kind]) for place, value, kind in given]
