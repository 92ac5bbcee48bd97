"""A storage whose server may be away for a while: what it was asked is asked again until it answers.

To ask again does no harm. Attributes and parameters are written over with the same; a trial that was made twice, as
the answer was lost, is known by its mark (:mod:`search.storages.workers`); and where a trial's end was kept but not
answered, the trial says so itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeVar

from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from supernet.errors import InputError
from supernet.messages import say

Stored = TypeVar("Stored", bound=BaseStorage)


class GaveUp(InputError):
    """A storage has not answered for too long: nothing more is asked of it."""


OUTAGE_S = 300.0
"""Seconds without an answer after which a process gives up."""
FIRST_STEP_S, LONGEST_STEP_S = 0.2, 5.0
"""Seconds until a storage is asked again: twice as many each time."""

QUESTIONS = tuple(name for name in dir(BaseStorage) if not name.startswith("_"))
"""What a storage is asked."""

TELL_S = 60.0
"""Seconds between two messages about it."""


def patient(
    storage: Stored,
    is_lost: Callable[[Exception], bool],
    name: str,
    outage_s: float = OUTAGE_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    methods: Sequence[str] = QUESTIONS,
) -> Stored:
    """The same storage, changed: what raises an error that ``is_lost`` is asked again, for ``outage_s`` seconds."""

    told_at = -TELL_S

    def tell() -> None:
        nonlocal told_at
        if clock() - told_at >= TELL_S:
            told_at = clock()
            say(f"the storage {name} does not answer; asking it again for {outage_s:.0f} s")

    def insisting(ask: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(ask)
        def asked(*given: Any, **named: Any) -> Any:
            began, step = clock(), FIRST_STEP_S
            while True:
                try:
                    answer = ask(*given, **named)
                except Exception as error:
                    if not is_lost(error):
                        raise
                    if clock() - began > outage_s:
                        raise gave_up(name, clock() - began) from error
                    tell()
                    sleep(step)
                    step = min(2 * step, LONGEST_STEP_S)
                else:
                    return answer

        return asked

    for method in methods:
        if callable(ask := getattr(storage, method)):
            ask = ends_once(storage, ask) if method == "set_trial_state_values" else ask
            setattr(storage, method, insisting(ask))
    return storage


def ends_once(storage: BaseStorage, tell: Callable[..., bool]) -> Callable[..., bool]:
    """Tell a trial's end; that it has ended just so is no error, since the answer to it may have been lost."""

    @wraps(tell)
    def told(trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        try:
            return tell(trial_id, state=state, values=values)
        except UpdateFinishedTrialError:
            trial = storage.get_trial(trial_id)
            same = trial.state == state and (values is None or trial.values == list(values))
            if state == TrialState.FAIL or not same:
                raise
            return True

    return told


def gave_up(name: str, seconds: float) -> GaveUp:
    return GaveUp(
        f"the storage {name} has not answered for {seconds:.0f} s; nothing that it had is lost, and the same command "
        "goes on when it answers again"
    )
