"""Storages of studies by their URLs: SQLite, a database server, a journal file, or a gRPC proxy before any of these.

| URL | for |
|---|---|
| ``sqlite:///study.db`` | the processes of one machine |
| ``journal:///study.journal``, or a path that ends in ``.journal`` | machines that share a folder, NFS too |
| ``postgresql+psycopg://USER@HOST/DATABASE``, or any other database of SQLAlchemy | machines that reach a server |
| ``grpc://HOST:PORT`` | machines that reach a proxy, which alone knows the database |

What a person may read or keep of a URL has no password in it.
"""

from __future__ import annotations

import os
import re
import time
import weakref
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from search.storages.sqlite_refusals import refusal, tell_refusals
from supernet.errors import InputError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from search.storages.database import Database

SQLITE, JOURNAL, GRPC = "sqlite:///", "journal:///", "grpc://"
ENDING = ".journal"
GRPC_PORT = 13000
"""Where Optuna's proxy listens unless it is told otherwise."""
GRPC_WAIT_S = 10.0
CREATIONS, CREATION_STEP_S = 5, 0.5
BUSY_S = 120.0
"""Seconds that a process waits for others that write to the same SQLite file."""
STORAGE_VARIABLE = "ONCEFIT_STORAGE"
"""The environment variable with the storage's URL, which may have a password that no file should have."""
REACHING = {
    "connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}  # fmt: skip
"""How long PostgreSQL's client takes a silent server for a living one: seconds, and milliseconds for the last."""
UPGRADE = "optuna storage upgrade"
"""The command of Optuna that brings a database of an older version to this one's."""
IN_AUTHORITY = re.compile(r"(?<=://)([^:@/\s]*):[^\s]*@")
IN_WHOLE_AUTHORITY = re.compile(r"(?<=://)([^:@/]*):([^?]*@|[^@]*@)")
IN_WHOLE_QUERY = re.compile(r"([?&])(\w*password|passwd|pwd)=[^&]*", re.IGNORECASE)
"""Of a URL by itself, in which a password may have spaces."""
IN_QUERY = re.compile(r"([?&])(\w*password|passwd|pwd)=[^&\s]*", re.IGNORECASE)


class NotThereError(InputError):
    """A storage, or a study in it, is not there, which may change while one waits."""


def database_in(path: Path) -> str:
    """The URL of a file of SQLite, whatever it is called: a ``?`` would begin settings, and SQLAlchemy decodes ``%41``."""
    return SQLITE + (in_url(str(path)) if decodes() else str(path))


def in_url(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3F")


@lru_cache(maxsize=1)
def decodes() -> bool:
    """Whether SQLAlchemy decodes the path in a URL, as it does from 2.1."""
    from sqlalchemy.engine import make_url

    return make_url(f"{SQLITE}%3F").database == "?"


def lasting(url: str) -> str:
    """A storage URL as a run folder keeps it: without password, and the same from every working directory."""
    if url.endswith(ENDING) and "://" not in url:
        url = JOURNAL + url
    for scheme in (SQLITE, JOURNAL):
        file = url.removeprefix(scheme)
        if url.startswith(scheme) and file and file != ":memory:":
            here = database_in(Path.cwd()) if scheme == SQLITE else JOURNAL + str(Path.cwd())
            return scheme + str(Path(here.removeprefix(scheme), file))
    return without_password(IN_WHOLE_QUERY.sub(r"\1", IN_WHOLE_AUTHORITY.sub(r"\1@", url)))


def without_password(text: str) -> str:
    """A storage URL, or a text with one, that may be shown and kept."""
    shown = IN_AUTHORITY.sub(r"\1@", text)
    return IN_QUERY.sub(r"\1", shown).replace("?&", "?").replace("&&", "&").rstrip("?&")


def with_password(url: str) -> str:
    """A URL as it is remembered, with what the environment's ``ONCEFIT_STORAGE`` adds if that is the same storage."""
    given = os.environ.get(STORAGE_VARIABLE, "")
    return given if given and lasting(given) == lasting(url) else url


def is_file(url: str) -> bool:
    return url.startswith((SQLITE, JOURNAL))


def open_storage(url: str) -> BaseStorage:
    """An Optuna storage, which outlasts a server that is away for a while. Raises InputError where it cannot be used."""
    url, lasting_url = with_password(url), lasting(url)
    if lasting_url.startswith(JOURNAL):
        return opened_journal(lasting_url)
    if lasting_url.startswith(GRPC):
        return opened_proxy(lasting_url)
    return opened_database(url)


def opened_journal(url: str) -> BaseStorage:
    from search.storages.journal_file import Journal, JournalFile

    path = Path(url.removeprefix(JOURNAL))
    try:
        return Journal(JournalFile(path))
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
        raise cannot_open(url, error) from error  # the last two of operations that this Optuna does not know


def opened_proxy(url: str) -> BaseStorage:
    """Optuna's client of a proxy that answers."""
    import warnings

    from optuna.exceptions import ExperimentalWarning
    from optuna.storages import GrpcStorageProxy

    try:
        import grpc
    except ImportError as error:
        raise cannot_open(url, error) from error
    try:
        parts = urlsplit(url)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            proxy = GrpcStorageProxy(host=parts.hostname or "localhost", port=parts.port or GRPC_PORT)
        proxy.wait_server_ready(GRPC_WAIT_S)
    except (ConnectionError, ValueError) as error:
        raise cannot_open(url, error) from error
    from search.storages.patience import patient

    return patient(proxy, lambda one: isinstance(one, grpc.RpcError) and is_away(one), without_password(url))


def is_away(error: Any) -> bool:
    """Whether a proxy, or the database behind it, does not answer now; what it refuses has another code."""
    return error.code().name in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "UNKNOWN")


def opened_database(url: str) -> BaseStorage:
    """SQLite keeps every commit through a killed process at a tenth of the default's time."""
    from optuna.storages import get_storage
    from sqlalchemy import event
    from sqlalchemy.exc import SQLAlchemyError

    from search.storages.database import is_unreachable

    try:
        storage = made_database(url)
    except (SQLAlchemyError, ImportError, ValueError, RuntimeError) as error:
        # Optuna raises RuntimeError for a database of another of its versions
        raise cannot_open(url, error) from error
    if url.startswith("sqlite"):
        event.listen(storage.engine, "connect", use_write_ahead_log)
        tell_refusals(storage.engine)
        storage.engine.dispose()
        return storage
    weakref.finalize(storage, storage.engine.dispose)  # connections are not left for the server to miss
    from search.storages.patience import patient

    shown = without_password(url)
    patient(storage, is_unreachable, shown, methods=("write_together", "trials_since", "whole_trials"))
    return patient(get_storage(storage), is_unreachable, shown)


def made_database(url: str) -> Database:
    """Of several processes that come to an empty database at the same time, all but one find its tables half made."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import IntegrityError, ProgrammingError

    from search.storages.database import Database

    if "@" in (make_url(url).host or ""):
        raise ValueError("an @ in a password is written %40")
    for _ in range(CREATIONS - 1):
        try:
            return Database(as_template(url), engine_kwargs=settings_of(url), skip_compatibility_check=False)
        except (IntegrityError, ProgrammingError):
            time.sleep(CREATION_STEP_S)
    return Database(as_template(url), engine_kwargs=settings_of(url), skip_compatibility_check=False)


def as_template(url: str) -> str:
    """A URL as Optuna takes it, which fills in what braces name."""
    return url.replace("{", "{{").replace("}", "}}")


def settings_of(url: str) -> dict[str, Any]:
    """What SQLAlchemy is told of a database besides its URL."""
    from sqlalchemy.engine import make_url

    if url.startswith("sqlite"):
        # SQLite lets one process write at a time, and gives up after five seconds unless it is told otherwise
        return {"connect_args": {"timeout": BUSY_S}}
    parsed = make_url(url)
    if not parsed.drivername.startswith("postgresql") or parsed.drivername == "postgresql+asyncpg":
        return {"pool_pre_ping": True}
    return {
        "pool_pre_ping": True,
        "connect_args": {key: value for key, value in REACHING.items() if key not in parsed.query},
    }


def cannot_open(url: str, error: Exception) -> InputError:
    shown = lasting(url) if url.endswith(ENDING) else without_password(url)
    if isinstance(error, ImportError) and (extra := extra_of(url)) is not None:
        return InputError(
            f"cannot use the storage {shown}: the package that reaches it is not installed; pip install 'oncefit[{extra}]'"
        )
    if (refused := refusal(error)) is not None:
        return NotThereError(f"cannot use the storage {shown}: {refused}")
    cause = getattr(error, "orig", None) or error  # SQLAlchemy tells of its statement too
    reason = without_password(" ".join(str(cause).split()))
    if UPGRADE in reason:
        return InputError(
            f"cannot use the storage {shown}, which an older Optuna made: {reason.partition(' Please')[0]} Bring it to this "
            f"version, on a copy first: {UPGRADE} --storage {as_template(shown)}"
        )
    reason = reason[:300]
    kind = InputError if isinstance(error, (ValueError, ImportError)) else NotThereError
    return kind(
        f"cannot use the storage {shown}: {reason}. Give --storage as an Optuna storage URL, for example "
        "sqlite:///study.db, or leave it out to keep the study in the run folder"
    )


def extra_of(url: str) -> str | None:
    """The extra that has what a kind of storage needs."""
    return next(
        (name for name in ("grpc", "postgresql") if url.startswith((f"{name}:", f"{name}+psycopg:"))), None
    )


def use_write_ahead_log(connection: Any, _: object) -> None:
    """A commit survives the death of the process; only a power cut may lose the last ones."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()
