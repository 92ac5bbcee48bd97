"""What is written to a trial at once, where it would be a question to the storage for each of its parameters.

A journal waits for the disk after each line, with all others waiting for it, and a database after each commit: of the
31 that Optuna makes for a trial of the embedded supernet 24 are its parameters.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Generic, TypeVar

from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import Study

from search.storages.following import storage_of

KeptEntry = TypeVar("KeptEntry")


@contextmanager
def written_together(study: Study, trial_id: int) -> Iterator[None]:
    """Inside, what this thread sets of a trial is kept back, and written at the end: all of it, or nothing after an error.

    Raises UpdateFinishedTrialError at the end where the trial has ended. A storage that cannot do so writes each at once.
    """
    storage, _ = storage_of(study)
    behind = getattr(storage, "_backend", None)  # of Optuna's cache, which a database has before it
    able = next((one for one in (storage, behind) if hasattr(one, "kept_back")), None)
    with able.kept_back(trial_id) if able is not None else nullcontext():
        yield


class Kept(Generic[KeptEntry]):
    """Entries that a thread keeps back for now; other threads write theirs meanwhile."""

    def __init__(self) -> None:
        self._local = threading.local()

    def keeps(self, *entries: KeptEntry) -> bool:
        """Whether they were kept back, else they are to be written."""
        kept: list[KeptEntry] | None = getattr(self._local, "entries", None)
        if kept is None:
            return False
        kept += entries
        return True

    @contextmanager
    def back(self) -> Iterator[list[KeptEntry]]:
        """The list of what is kept back inside."""
        self._local.entries = kept = list[KeptEntry]()
        try:
            yield kept
        finally:
            self._local.entries = None


class JournalFile(JournalFileBackend):
    """Optuna's journal file, to which a thread may write several lines at once."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.kept = Kept[dict[str, Any]]()

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        if not self.kept.keeps(*logs):
            super().append_logs(logs)


class Journal(JournalStorage):
    """Optuna's storage of a journal file, with :func:`written_together`."""

    def __init__(self, file: JournalFile) -> None:
        super().__init__(file)
        self._file = file

    @contextmanager
    def kept_back(self, trial_id: int) -> Iterator[None]:
        with self._file.kept.back() as lines:
            yield
        if lines:
            self._file.append_logs(lines)
            self._check_taken(trial_id, len(lines))

    def _check_taken(self, trial_id: int, lines: int) -> None:
        """Each line that came too late raises an error when it is read, the first of which is raised here."""
        refused: UpdateFinishedTrialError | None = None
        for _ in range(lines + 1):
            try:
                self.get_trial(trial_id)
                break
            except UpdateFinishedTrialError as error:
                refused = refused or error
        if refused is not None:
            raise refused
