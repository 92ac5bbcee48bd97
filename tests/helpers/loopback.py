"""A real HTTP server on this machine, which misbehaves on request."""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PIECE = 64 * 1024


@dataclass
class Site:
    """Files by path, how they are served, and the headers of every request that came."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    etag: str = '"one"'
    changed: str = ""
    content_type: str = "application/octet-stream"
    ranges: bool = True
    wrong_range: bool = False
    unsatisfiable: bool = False
    with_length: bool = True
    cut_after: int | None = None
    reset: bool = False
    stall_after: int | None = None
    pause_s: float = 0.0
    seen: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    sent: int = 0
    closing: threading.Event = field(default_factory=threading.Event)

    def ranges_seen(self) -> list[str | None]:
        return [headers.get("Range") for _, headers in self.seen]


class Handler(BaseHTTPRequestHandler):
    site: Site

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.site.seen.append((self.path, dict(self.headers)))
        with suppress(ConnectionError):  # who asked has gone
            self.answer()

    def answer(self) -> None:
        site = self.site
        if site.stall_after == 0:
            site.closing.wait(60)
            return
        if self.path in site.redirects:
            self.send_response(302)
            self.send_header("Location", site.redirects[self.path])
            self.end_headers()
            return
        if self.path not in site.files:
            self.send_error(404)
            return
        body = site.files[self.path]
        start = self.asked(len(body))
        if start and site.unsatisfiable:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(body)}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", site.content_type)
        if start:
            first = start + 1 if site.wrong_range else start
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        if site.with_length:
            self.send_header("Content-Length", str(len(body) - start))
        for name, value in (("ETag", site.etag), ("Last-Modified", site.changed)):
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.send(body, start)

    def asked(self, size: int) -> int:
        """Where to begin, as RFC 9110 says of Range and If-Range."""
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        version = self.headers.get("If-Range", "")
        if not self.site.ranges or found is None or version not in (self.site.etag, self.site.changed):
            return 0
        return int(found[1])

    def send(self, body: bytes, start: int) -> None:
        site = self.site
        for place in range(start, len(body), PIECE):
            end = min(place + PIECE, len(body))
            if site.cut_after is not None and end > site.cut_after:
                self.wfile.write(body[place : site.cut_after])
                if site.reset:  # closed with a reset in place of an end
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            if site.stall_after is not None and end > site.stall_after:
                site.closing.wait(60)
                return
            site.closing.wait(site.pause_s)
            site.sent += end - place  # before who reads it can ask
            self.wfile.write(body[place:end])


@contextmanager
def serving() -> Iterator[Site]:
    """A site on a free port of this machine, until the end of the block."""
    site = Site()
    handler = type("SiteHandler", (Handler,), {"site": site})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = False
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        site.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
