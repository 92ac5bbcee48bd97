"""The trials of a study, read as they come and as they end: what has ended is never read again.

A proposal then costs the same after ten trials and after ten thousand.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial

IDENTITY = "of"
"""The attribute of a study that says what its figures are of: a search's study has it."""

ARCH_ID = "arch_id"
"""The attribute of a trial that names its arch: every finished trial that a search made has it."""

MOST_ENDED = 256
ENDED: WeakKeyDictionary[BaseStorage, dict[tuple[int, int], FrozenTrial]] = WeakKeyDictionary()
"""Trials of a storage that were read last and had ended, so that they never change, by study and number."""

FEW = 64
"""Trials that are read one by one at most: of more, a list of all takes less time."""


def storage_of(study: Study) -> tuple[BaseStorage, int]:
    """The storage of a study and the study's id there: as Optuna hands them to samplers, but has no name for."""
    return study._storage, study._study_id


class Follower:
    """Follows one study from its first trial on."""

    def __init__(self) -> None:
        self._next = 0
        self._open: list[int] = []

    @property
    def seen(self) -> int:
        """Trials that were read."""
        return self._next

    def news(self, study: Study, but: int | None = None) -> list[FrozenTrial]:
        """Every trial that is new or had not ended when it was last read, in the order of their numbers.

        ``but`` is the number of a trial that is left for later: the one that is asked for.
        """
        found = read_trials(study, [number for number in self._open if number != but], self._next)
        left = {number for number in (*self._open, *(trial.number for trial in found)) if number == but}
        self._next = max([self._next, *(trial.number + 1 for trial in found)])
        news = [trial for trial in found if trial.number != but]
        self._open = sorted({trial.number for trial in news if not trial.state.is_finished()} | left)
        return news


def read_trials(study: Study, numbers: list[int], after: int) -> list[FrozenTrial]:
    """The trials of these numbers, and all from number ``after`` on."""
    storage, study_id = storage_of(study)
    if after == 0 or len(numbers) > FEW:
        return everything(study, numbers, after)
    found = [trial_of(storage, study_id, number) for number in numbers]
    for trial in newer(storage, study_id, after):
        if trial.number - after > FEW:
            return everything(study, numbers, after)
        found.append(trial)
    return found


def everything(study: Study, numbers: list[int], after: int) -> list[FrozenTrial]:
    storage, study_id = storage_of(study)
    wanted = set(numbers)
    trials = storage.get_all_trials(study_id, deepcopy=False)
    return [trial for trial in trials if trial.number >= after or trial.number in wanted]


def newer(storage: BaseStorage, study_id: int, after: int) -> Iterator[FrozenTrial]:
    """Trials from number ``after`` on, until there is none: their numbers have no gaps."""
    while True:
        try:
            yield trial_of(storage, study_id, after)
        except KeyError:
            return
        after += 1


def trial_of(storage: BaseStorage, study_id: int, number: int) -> FrozenTrial:
    """Raises KeyError where there is none of that number. Of a process's followers the first reads, the others are told."""
    ended = ENDED.setdefault(storage, {})
    key = (study_id, number)
    if key not in ended:
        trial = storage.get_trial(storage.get_trial_id_from_study_id_trial_number(study_id, number))
        if not trial.state.is_finished():
            return trial
        if len(ended) == MOST_ENDED:
            ended.pop(next(iter(ended)))
        ended[key] = trial
    return ended[key]
