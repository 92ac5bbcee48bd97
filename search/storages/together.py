"""What is written to a trial at once, where it would be a question to the storage for each of its parameters.

A journal waits for the disk after each line, with all others waiting for it, and a database after each commit: of the
31 that Optuna makes for a trial of the embedded supernet 24 are its parameters.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Generic, TypeVar

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
