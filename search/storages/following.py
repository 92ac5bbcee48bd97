"""The trials of a study, read as they come and as they end: what has ended is never read again.

A proposal then costs the same after ten trials and after ten thousand. What one part of a process has read of a storage, the
others are told.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast
from weakref import WeakKeyDictionary

from search.storages.ended import EndedTrial, of_frozen

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial

IDENTITY = "of"
"""The attribute of a study that says what its figures are of: a search's study has it."""

ARCH_ID = "arch_id"
"""The attribute of a trial that names its arch: every finished trial that a search made has it."""

CLAIM = "oncefit:codes"
"""System attribute of a trial with the codes of the arch that it claims (:mod:`search.proposing.claims`); empty where it has none.

Others see it before its parameters are set.
"""

FEW = 64
"""Trials that are read one by one at most: of more, a list of all takes less time."""

MOST_RECENT = 256
"""Trials that were read last and had ended, which are kept whole."""


class ReadsAtOnce(Protocol):
    """A storage that has a way of its own to read many trials."""

    def trials_since(
        self, study_id: int, after_id: int, trial_ids: Sequence[int]
    ) -> list[EndedTrial | FrozenTrial]:
        """The trials of a study whose ids are beyond ``after_id``, or given.

        Those given that are still open may lack parameters where they claimed an arch.
        """
        ...

    def whole_trials(self, trial_ids: Sequence[int]) -> list[FrozenTrial]:
        """Trials by their ids, in any order."""
        ...


class News(NamedTuple):
    """Trials that have ``ended``, as they were found so, those that are ``open``, and how many were ``seen`` in all."""

    ended: list[EndedTrial]
    open: list[FrozenTrial]
    seen: int


class KnownTrials:
    """One study as this process has read it; several threads may ask."""

    def __init__(self) -> None:
        self._ended: list[EndedTrial] = []
        self._open: list[FrozenTrial] = []
        self._seen = 0
        self._recent: dict[int, FrozenTrial] = {}
        self._last_id = -1
        self._lock = threading.Lock()

    def news(self, study: Study, taken: int = 0) -> News:
        """The study as it is now, less the first ``taken`` of those that have ended."""
        with self._lock:
            self._take(self._read(*storage_of(study)))
            return News(self._ended[taken:], self._open, self._seen)

    def recent(self) -> dict[int, FrozenTrial]:
        """Some of those that have ended, whole, by number."""
        with self._lock:
            return dict(self._recent)

    def _read(self, storage: BaseStorage, study_id: int) -> list[EndedTrial | FrozenTrial]:
        if (able := able_to_read(storage)) is not None:
            return able.trials_since(study_id, self._last_id, [trial._trial_id for trial in self._open])
        return read_trials(storage, study_id, [trial.number for trial in self._open], self._seen)

    def _take(self, found: list[EndedTrial | FrozenTrial]) -> None:
        self._seen = max([self._seen, *(trial.number + 1 for trial in found)])
        self._last_id = max([self._last_id, *(trial._trial_id for trial in found)])
        self._open = []  # a new list: who was given the one before has it still
        for trial in sorted(found, key=lambda trial: trial.number):
            if isinstance(trial, EndedTrial):
                self._ended.append(trial)
            elif trial.state.is_finished():
                self._ended.append(of_frozen(trial))
                self._keep(trial)
            else:
                self._open.append(trial)

    def _keep(self, trial: FrozenTrial) -> None:
        if len(self._recent) == MOST_RECENT:
            self._recent.pop(next(iter(self._recent)))
        self._recent[trial.number] = trial


FOLLOWED: WeakKeyDictionary[BaseStorage, dict[int, KnownTrials]] = WeakKeyDictionary()
"""What was read of the studies of a storage, by study id."""


def storage_of(study: Study) -> tuple[BaseStorage, int]:
    """The storage of a study and the study's id there: as Optuna hands them to samplers, but has no name for."""
    return study._storage, study._study_id


def followed(study: Study, taken: int = 0) -> News:
    """The study as it is now, less the first ``taken`` of those that have ended.

    All that look at one storage object share what was read; each counts for itself what it has taken in.
    """
    return known_trials(study).news(study, taken)


def known_trials(study: Study) -> KnownTrials:
    storage, study_id = storage_of(study)
    return FOLLOWED.setdefault(storage, {}).setdefault(study_id, KnownTrials())


def forget_trials(study: Study) -> None:
    """Keep nothing of what was read of a study: it is read anew when it is looked at again."""
    storage, study_id = storage_of(study)
    FOLLOWED.get(storage, {}).pop(study_id, None)


def ended_trials(study: Study) -> list[EndedTrial]:
    """All that have ended by now, in the order of their numbers."""
    return sorted(followed(study).ended, key=lambda trial: trial.number)


# -- how they are read ----------------------------------------------------------


def read_trials(
    storage: BaseStorage, study_id: int, numbers: Sequence[int], after: int
) -> list[EndedTrial | FrozenTrial]:
    """The trials of these numbers, and all from number ``after`` on."""
    if after == 0 or len(numbers) > FEW:
        return listed_trials(storage, study_id, numbers, after)
    found: list[EndedTrial | FrozenTrial] = [trial_of(storage, study_id, number) for number in numbers]
    for trial in newer(storage, study_id, after):
        if trial.number - after > FEW:
            return listed_trials(storage, study_id, numbers, after)
        found.append(trial)
    return found


def listed_trials(
    storage: BaseStorage, study_id: int, numbers: Sequence[int], after: int
) -> list[EndedTrial | FrozenTrial]:
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
    """Raises KeyError where there is none of that number."""
    return storage.get_trial(storage.get_trial_id_from_study_id_trial_number(study_id, number))


def as_frozen(study: Study, trials: Iterable[EndedTrial]) -> list[FrozenTrial]:
    """Optuna's objects of trials that have ended, in their order: of the last ones as they were read."""
    storage, _ = storage_of(study)
    wanted, found = list(trials), known_trials(study).recent()
    missing = [trial._trial_id for trial in wanted if trial.number not in found]
    if missing:
        able = able_to_read(storage)
        read = able.whole_trials(missing) if able is not None else map(storage.get_trial, missing)
        found |= {trial.number: trial for trial in read}
    return [found[trial.number] for trial in wanted]


def make_known(storage: BaseStorage, study_id: int, trial: FrozenTrial) -> None:
    """Optuna's cache writes parameters of those trials alone that it has made itself, or listed_trials with all others."""
    from optuna.storages import _CachedStorage

    if isinstance(storage, _CachedStorage):
        storage.get_study_directions(study_id)  # which makes the study known
        storage._add_trials_to_cache(study_id, [trial])


def able_to_read(storage: BaseStorage) -> ReadsAtOnce | None:
    """The storage, or what is behind Optuna's cache, which a database has before it."""
    behind = getattr(storage, "_backend", None)
    able: Any = next((one for one in (storage, behind) if hasattr(one, "trials_since")), None)
    return cast("ReadsAtOnce | None", able)
