"""What SQLite refuses while a study is used, in words: a full disk, a read-only folder, a lock that is not had, a damaged file."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from supernet.errors import InputError

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.engine import ExceptionContext

GO_ON = "nothing that was finished is lost, and the same command goes on"
COPY = "put back a copy of it, or search again in another folder with --out"
REFUSALS = {
    "SQLITE_FULL": f"its disk is full: make room; {GO_ON}",
    "SQLITE_READONLY": "it may not be written: mend that, or copy the run's folder to where it may",
    "SQLITE_CANTOPEN": "it cannot be made here, or its folder is read-only, and SQLite writes beside what it reads: copy the "
    "run's folder to where that may be written, or give another --storage, for example sqlite:///study.db",
    "SQLITE_BUSY": "others keep it locked, or its file system has no locks, as some network file systems: "
    f"{GO_ON} on a local disk; machines share a search by --storage postgresql+psycopg://USER@HOST/DATABASE",
    "SQLITE_IOERR": f"its disk failed, or has no locks, or the file was removed: where the file is whole, {GO_ON}",
    "SQLITE_CORRUPT": f"the file is damaged: {COPY}",
    "SQLITE_NOTADB": f"the file is no database: {COPY}",
}
"""What to do by the error code of SQLite, of which an extended one is a longer name."""


MEMORY = ":memory:"


def refusal(error: BaseException | None) -> str | None:
    """What SQLite refused, and what to do; None for anything else."""
    while error is not None:
        if isinstance(error, sqlite3.Error):
            name = getattr(error, "sqlite_errorname", "")  # of what SQLite said, not of what Python did
            return next(
                (f"{error}; {told}" for code, told in REFUSALS.items() if name.startswith(code)), None
            )
        error = getattr(error, "orig", None) or error.__cause__
    return None


def tell_refusals(engine: Engine) -> None:
    """From now on what SQLite refuses is an InputError that names the file.

    So is a file that was removed, to which SQLite would write on until the process ends.
    """
    from sqlalchemy import event

    place = engine.url.database or MEMORY
    is_file = not place.startswith((MEMORY, "file:"))  # the latter has options of SQLite behind the path

    @event.listens_for(engine, "begin")
    def look(_: object) -> None:
        if is_file and not Path(place).is_file():
            raise InputError(
                f"{place} was removed: put it back, or search again in another folder with --out"
            )

    @event.listens_for(engine, "handle_error")
    def tell(context: ExceptionContext) -> None:
        if (told := refusal(context.original_exception)) is not None:
            raise InputError(f"cannot use the storage sqlite:///{place}: {told}")
