"""The processes that search in one run: each marks the trials that it makes, and shows that it lives.

A trial whose process died is failed, so that its arch can be proposed again; one whose process lives never is. Who
lives is decided by a lock that ends with its process, where both look at the same folder. Of a process that works
elsewhere on the same storage, say in a copy of the folder, the trial has a number that grows while it lives; it is
taken for dead when that number has stood still for :data:`PATIENCE_S` of this process's own clock in which it
looked. Time in which it did not, as it was at a candidate of its own or the storage was away, hardly counts: others
could not be heard then.
"""

from __future__ import annotations

import secrets
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from search.storages.following import make_known, storage_of
from search.storages.together import written_together
from supernet import locks
from supernet.archs.space import SearchSpace

WORKERS = ".workers"
"""The folder in a run with a lock file for each process."""

MARK = "oncefit:worker:"
"""What a trial's system attribute is called that names a process; it holds where that process's lock is, or nothing."""

BEAT = "oncefit:beat"
BEAT_S, PATIENCE_S = 15.0, 120.0
LEAVING_S = 5.0


class Worker:
    """One process of a run; ``clock`` is in seconds."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.id = secrets.token_hex(8)
        self._folder = folder
        status = folder.stat()
        self._place = f"{this_kernel()}:{status.st_dev}:{status.st_ino}"
        self._clock = clock
        self._current: tuple[BaseStorage, int] | None = None
        self._heard: dict[int, Heard] = {}

    def ask(
        self, study: optuna.Study, space: SearchSpace, waiting: Iterable[FrozenTrial] = ()
    ) -> optuna.Trial:
        """As ``study.ask``, but the trial is this process's from the moment on that there is one.

        It is the first of those ``waiting`` that no other process takes, or a new one.
        """
        storage, study_id = storage_of(study)
        taken = next((trial for trial in waiting if self._takes(storage, trial)), None)
        if taken is not None:
            make_known(storage, study_id, taken)
            trial_id = taken._trial_id
        else:
            template = optuna.trial.create_trial(
                state=TrialState.RUNNING, system_attrs={self._mark: self._place}
            )
            trial_id = storage.create_new_trial(study_id, template_trial=template)
        self._current = (storage, trial_id)
        trial = optuna.Trial(study, trial_id)
        _ = trial.relative_params  # the sampler proposes, and others are to see at once what it claims
        with written_together(study, trial_id):
            for dimension in space.dimensions:
                trial.suggest_categorical(dimension.name, dimension.choices)
        return trial

    def ended(self) -> None:
        """The trial that was asked for has ended."""
        self._current = None

    def is_gone(self, trial: FrozenTrial) -> bool:
        """Whether the process of a running trial is dead; False where no process of a run has marked it."""
        places = places_of(trial)
        return bool(places) and all(self._is_dead(trial, name, place) for name, place in places.items())

    def those_gone(self, running: Iterable[FrozenTrial]) -> list[FrozenTrial]:
        """Trials that a dead process left running; they were never judged."""
        return [trial for trial in running if self.is_gone(trial)]

    def fail(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Fail a trial that is gone; whether no other process was first."""
        storage, _ = storage_of(study)
        with suppress(UpdateFinishedTrialError):
            storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)
            return True
        return False

    def beat(self, number: int) -> None:
        """Show those who look from elsewhere that the trial's process lives."""
        if (current := self._current) is not None:
            storage, trial_id = current
            with suppress(Exception):  # it has ended meanwhile, or the storage is busy: the next beat will do
                storage.set_trial_system_attr(trial_id, BEAT, number)

    @property
    def _mark(self) -> str:
        return MARK + self.id

    def _takes(self, storage: BaseStorage, trial: FrozenTrial) -> bool:
        """Mark a trial that waits, and then try to be the one that runs it: of several, a storage lets one."""
        try:
            storage.set_trial_system_attr(trial._trial_id, self._mark, self._place)
            if storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING):
                return True
            if self._alone_has(storage.get_trial(trial._trial_id)):
                return True  # it took the trial, and the answer was lost
            storage.set_trial_system_attr(trial._trial_id, self._mark, "")
        except UpdateFinishedTrialError:
            pass
        return False

    def _alone_has(self, trial: FrozenTrial) -> bool:
        """Whether a trial is at work for this process and no other: whoever else tried to take it has left no mark."""
        return trial.state == TrialState.RUNNING and places_of(trial).keys() == {self.id}

    def _is_dead(self, trial: FrozenTrial, name: str, place: str) -> bool:
        if name == self.id:  # made twice, as the answer to the first time was lost
            return self._current is None or self._current[1] != trial._trial_id
        if place == self._place:
            return not locks.is_held(worker_lock_path(self._folder, name))
        beat, now = trial.system_attrs.get(BEAT), self._clock()
        before = self._heard.get(trial.number)
        if before is None or before.beat != beat:
            self._heard[trial.number] = Heard(beat, 0.0, now)
            return False
        silent_s = before.silent_s + min(now - before.at, BEAT_S)
        self._heard[trial.number] = Heard(beat, silent_s, now)
        return silent_s > PATIENCE_S


class Heard(NamedTuple):
    """What was last heard of a trial, seconds of silence since then, and when it was last looked at."""

    beat: object
    silent_s: float
    at: float


@cache
def this_kernel() -> str:
    """The kernel that runs here, which frees the locks of its dead processes: of Linux since it was started."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{uuid.getnode():x}"


def places_of(trial: FrozenTrial) -> dict[str, str]:
    """Where the locks of the processes are that have marked a trial, by their names; none of a foreign trial."""
    return {
        key.removeprefix(MARK): str(place)
        for key, place in trial.system_attrs.items()
        if key.startswith(MARK) and place
    }


def process_of(trial: FrozenTrial) -> str | None:
    """The name of the process that made a trial, the last if several began it; None where none is known."""
    names = [key.removeprefix(MARK) for key in trial.system_attrs if key.startswith(MARK)]
    return names[-1] if names else None


def worker_lock_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.lock"


@contextmanager
def at_work(run_folder: Path) -> Iterator[Worker]:
    """This process as one of those that search in a run, until it leaves or dies."""
    folder = run_folder / WORKERS
    folder.mkdir(exist_ok=True)
    worker, leaving = Worker(folder), threading.Event()

    def beating() -> None:
        number = 0
        while not leaving.wait(BEAT_S):
            number += 1
            worker.beat(number)

    # awaited, since another process may just be trying whether anybody has it
    with locks.awaited(worker_lock_path(folder, worker.id), lambda: None):
        thread = threading.Thread(target=beating, daemon=True)
        thread.start()
        try:
            yield worker
        finally:
            leaving.set()
            thread.join(LEAVING_S)  # it may be waiting for a storage that is away


def others_at_work(worker: Worker, run_folder: Path) -> int:
    """How many processes search in a run folder besides this one."""
    count = 0
    for path in (run_folder / WORKERS).glob("*.lock"):
        if path.stem != worker.id:
            count += locks.is_held(path)
    return count
