"""A study in a journal file: Optuna's, but what was cut off at its end does no harm, and a damaged line is named.

A process that dies, or a disk that is full, may leave the last line without its end. Optuna reads the file without that
line, but writes the next one right behind it, and can read neither from then on.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from search.storages.ended import collector_waits
from search.storages.journal_replay import Replay
from search.storages.together import Kept
from supernet.errors import InputError

TAIL_BYTES = 1 << 16
"""How much of a file is looked at at once for the end of its last whole line."""
ELSEWHERE = "give a path on another disk, or a server's URL, with --storage, as postgresql+psycopg://USER@HOST/DATABASE"


class JournalFile(JournalFileBackend):
    """Raises InputError for a damaged line, and for what the system refuses."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), CleanEnd(path))
        self._path = path
        self.kept = Kept[dict[str, Any]]()

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Called by Optuna with the number of lines that it knows."""
        read = log_number_from
        try:
            for log in super().read_logs(log_number_from):
                if not isinstance(log, dict):
                    raise ValueError("it is no operation of a study")
                read += 1
                yield log
        except ValueError as error:
            raise InputError(
                f"line {read + 1} of {self._path} is damaged: {error}; put back a copy of the file, or keep the {read} lines "
                f"before it: head -n {read} {self._path} > NEW, and move NEW to its place"
            ) from error
        except FileNotFoundError as error:
            raise InputError(f"{self._path} was removed: put it back, or search again with --out") from error

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Called by Optuna with operations to keep; a thread may keep some back, and write them at once."""
        if self.kept.keeps(*logs):
            return
        try:
            super().append_logs(logs)
        except OSError as error:
            raise InputError(
                f"cannot write {self._path}: {error.strerror}; mend that, and the same command goes on, or {ELSEWHERE}"
            ) from error


class Journal(JournalStorage):
    """Optuna's storage of a journal file, with :func:`search.storages.together.written_together`."""

    def __init__(self, file: JournalFile) -> None:
        super().__init__(file)
        self._file = file

    def _sync_with_backend(self) -> None:
        """Called by Optuna before each answer."""
        if not isinstance(self._replay_result, Replay):  # no line has been read
            self._replay_result = Replay(self._worker_id_prefix)
        with collector_waits():
            super()._sync_with_backend()

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


class CleanEnd(JournalFileSymlinkLock):
    """Optuna's lock, which gives who writes a file that ends with a whole line."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path

    def acquire(self) -> bool:
        held = super().acquire()
        try:
            cut_unfinished(self._path)
        except BaseException:
            self.release()
            raise
        return held


def cut_unfinished(path: Path) -> None:
    """Remove what follows the last end of a line."""
    with path.open("r+b") as file:
        end = size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        if file.read() in (b"", b"\n"):
            return
        while end:
            start = max(0, end - TAIL_BYTES)
            file.seek(start)
            if (place := file.read(end - start).rfind(b"\n")) >= 0:
                end = start + place + 1
                break
            end = start
        if end < size:
            file.truncate(end)
