"""A trial that has ended, in a tenth of the memory that Optuna's object of it takes: it never changes again.

Of ofa_mbv3_w1.0 that object has two dictionaries of 46 parameters and one of costs, 9 KB. Here parameters are the places of
their choices, which trials share with their names, and so are the names of costs.
"""

from __future__ import annotations

import gc
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial, TrialState

TRIAL_COSTS = "costs"
"""The attribute of a trial with a number for each cost, by name."""

ChoicesByName = tuple[tuple[str, tuple[Any, ...]], ...]
"""The choices of each parameter, in the order in which they were suggested."""


def local(utc: datetime | None) -> datetime | None:
    """A time as Optuna keeps it, in this machine's time zone as Optuna gives it."""
    return utc.replace(tzinfo=UTC).astimezone().replace(tzinfo=None) if utc is not None else None


@contextmanager
def collector_waits() -> Iterator[None]:
    """While many objects are made that all stay, Python's collector would look at all of them again and again."""
    was_at_work = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_at_work:
            gc.enable()


class Coded:
    """Parameters of a trial that are all categorical: the place of each among its ``choices``, which trials share."""

    __slots__ = ("_codes", "choices")

    def __init__(self, choices: ChoicesByName, codes: bytes) -> None:
        self.choices = choices
        self._codes = codes

    @property
    def codes(self) -> npt.NDArray[np.int16]:
        """Shape (parameters,)."""
        return np.frombuffer(self._codes, dtype=np.int16)

    @property
    def values(self) -> dict[str, Any]:
        return {name: of[code] for (name, of), code in zip(self.choices, self.codes.tolist(), strict=True)}


class NamedNumbers(Mapping[str, float]):
    """Numbers by name, where many have the same names."""

    __slots__ = ("_numbers", "_places")

    def __init__(self, places: Mapping[str, int], numbers: array[float]) -> None:
        self._places = places
        self._numbers = numbers

    def __getitem__(self, name: str) -> float:
        return self._numbers[self._places[name]]

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __or__(self, others: Mapping[str, float]) -> dict[str, float]:
        return {**self, **others}

    def __repr__(self) -> str:
        return repr(dict(self))


class EndedTrial:
    """What :class:`optuna.trial.FrozenTrial` has under the same names, less its distributions and system attributes."""

    __slots__ = (
        "_coded", "_complete", "_in_utc", "_start", "_trial_id", "number", "state", "user_attrs", "values",
    )  # fmt: skip

    def __init__(
        self, trial_id: int, number: int, state: TrialState, values: Sequence[float] | None,
        params: Coded | dict[str, Any], user_attrs: dict[str, Any], start: datetime | None, complete: datetime | None,
        in_utc: bool = False,
    ) -> None:  # fmt: skip
        """Times are this machine's unless they are ``in_utc``; they say nothing of it themselves."""
        self._trial_id = trial_id
        self.number = number
        self.state = state
        self.values = tuple(values) if values is not None else None
        self._coded = params
        self.user_attrs = compact(user_attrs)
        self._start, self._complete, self._in_utc = start, complete, in_utc

    @property
    def coded(self) -> Coded | None:
        """None where some parameter is not categorical."""
        return self._coded if isinstance(self._coded, Coded) else None

    @property
    def params(self) -> dict[str, Any]:
        """The value of each parameter, in a dictionary of its own."""
        return self._coded.values if isinstance(self._coded, Coded) else dict(self._coded)

    @property
    def datetime_start(self) -> datetime | None:
        return local(self._start) if self._in_utc else self._start

    @property
    def datetime_complete(self) -> datetime | None:
        return local(self._complete) if self._in_utc else self._complete

    @property
    def duration(self) -> timedelta | None:
        if self._start is None or self._complete is None:
            return None
        return self._complete - self._start


def of_frozen(trial: FrozenTrial) -> EndedTrial:
    """The same of Optuna's object of a trial that has ended."""
    return EndedTrial(
        trial._trial_id, trial.number, trial.state, trial.values, coded(trial.params, trial.distributions),
        trial.user_attrs, trial.datetime_start, trial.datetime_complete,
    )  # fmt: skip


def coded(params: dict[str, Any], distributions: Mapping[str, BaseDistribution]) -> Coded | dict[str, Any]:
    """Parameters as places of choices, or as they are where some are not categorical."""
    from optuna.distributions import CategoricalDistribution

    kinds = [distributions[name] for name in params]
    choices = []
    for name, kind in zip(params, kinds, strict=True):
        if not isinstance(kind, CategoricalDistribution):
            return params
        choices.append((name, kind.choices))
    codes = [kind.to_internal_repr(value) for kind, value in zip(kinds, params.values(), strict=True)]
    return Coded(shared_choices(tuple(choices)), np.array(codes, dtype=np.int16).tobytes())


@lru_cache(maxsize=4096)
def shared_distribution(text: str) -> BaseDistribution:
    """Of Optuna's text of it, parsed once."""
    from optuna.distributions import json_to_distribution

    return json_to_distribution(text)


@lru_cache(maxsize=256)
def shared_choices(choices: ChoicesByName) -> ChoicesByName:
    """The first that was equal."""
    return choices


def compact(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The same attributes, the costs with names that trials share."""
    made = dict(attributes)
    if isinstance(costs := made.get(TRIAL_COSTS), Mapping):
        made[TRIAL_COSTS] = NamedNumbers(places_by_name(tuple(costs)), array("d", costs.values()))
    return made


@lru_cache(maxsize=256)
def places_by_name(names: tuple[str, ...]) -> Mapping[str, int]:
    return {name: place for place, name in enumerate(names)}
