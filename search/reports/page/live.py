"""A page that follows a search: served to this machine only, read only, made anew when the study has news.

What another web page could make a browser ask is refused: only ``GET`` of two paths, and only under the names that this
machine has for itself, so that a name that leads here by trickery of DNS gets nothing.
"""

from __future__ import annotations

import errno
import hashlib
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from search.reports.page.evidence_sections import Serving
from search.reports.page.making import page_of_one
from search.reports.page.writing import page_html
from search.runs.opening import open_run
from search.storages.following import followed
from supernet.errors import InputError

LOOPBACK = "127.0.0.1"
OWN_NAMES = (LOOPBACK, "localhost")
PATIENCE_S = 10.0
"""For a client that begins to ask and does not end."""
HEADERS = {
    "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin", "X-Frame-Options": "DENY",
}  # fmt: skip


class Followed:
    """The page of a run as it is now; made once for each state of the study."""

    def __init__(self, folder: Path, storage: str | None = None, serving: Serving | None = None) -> None:
        self._folder, self._run, self._serving = folder, open_run(folder, storage), serving
        self._study = self._run.study()
        self._lock = threading.Lock()
        self._made: tuple[str, str] | None = None

    def version(self) -> str:
        """A text that changes where the study, what was timed, or a bundle does."""
        now = followed(self._study)
        states = (len(now.ended), [(trial.number, trial.state.name) for trial in now.open])
        files = [*self._folder.glob("*.yaml"), *self._folder.glob("bundles/*/card.json")]
        written = sorted((str(path), path.stat().st_mtime_ns) for path in files)
        told = repr((states, sorted(self._study.user_attrs), written))
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    def page(self) -> str:
        with self._lock:
            version = self.version()
            if self._made is None or self._made[0] != version:
                self._made = version, page_html(page_of_one(self._run, self._serving), version)
            return self._made[1]


class LiveHandler(BaseHTTPRequestHandler):
    """Answers ``/`` with the page and ``/version`` with its version; refuses the rest."""

    followed: Followed
    timeout = PATIENCE_S
    server_version = "oncefit"
    sys_version = ""

    def do_GET(self) -> None:
        if not self.is_for_us():
            self.tell(HTTPStatus.FORBIDDEN, "this page is served to its own machine only\n")
            return
        answers: dict[str, tuple[str, Callable[[], str]]] = {
            "/": ("text/html", self.followed.page), "/version": ("text/plain", self.followed.version),
        }  # fmt: skip
        if self.path not in answers:
            self.tell(HTTPStatus.NOT_FOUND, "there are / and /version\n")
            return
        kind, answer = answers[self.path]
        try:
            found = answer()
        except (InputError, OSError) as error:
            self.tell(HTTPStatus.SERVICE_UNAVAILABLE, f"{error}\n")
            return
        self.tell(HTTPStatus.OK, found, kind)

    def parse_request(self) -> bool:
        """As usual, but that every method other than ``GET`` is refused: what may change something is not here."""
        if not super().parse_request():
            return False
        if self.command == "GET":
            return True
        self.tell(HTTPStatus.METHOD_NOT_ALLOWED, "only GET\n", more={"Allow": "GET"})
        return False

    def is_for_us(self) -> bool:
        """Whether the client asked for one of this machine's own names, and no other site sent it here."""
        port = self.connection.getsockname()[1]
        hosts = {f"{name}:{port}" for name in OWN_NAMES}
        origin = self.headers.get("Origin")
        return self.headers.get("Host") in hosts and (
            origin is None or origin in {f"http://{one}" for one in hosts}
        )

    def tell(
        self, status: HTTPStatus, text: str, kind: str = "text/plain", more: dict[str, str] | None = None
    ) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in {**HEADERS, **(more or {}), "Content-Type": f"{kind}; charset=utf-8"}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a page asks every few seconds."""


class LiveServer(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone is no error; of anything else the traceback."""
        import sys

        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def live_server(followed: Followed, port: int) -> LiveServer:
    """A server on a port of this machine, 0 for any free one. Raises InputError where the port is taken."""
    handler = type("HandlerOfRun", (LiveHandler,), {"followed": followed})
    try:
        return LiveServer((LOOPBACK, port), handler)
    except OSError as error:
        why = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        raise InputError(
            f"port {port} {why}; give another one, as --port {port + 1}, or --port 0 for any that is free"
        ) from error
    except OverflowError:
        raise InputError(f"--port {port}: ports are 0 to 65535") from None
