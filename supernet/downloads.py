"""One file from one HTTP address: resumed where it was cut, checked, in place whole or not at all.

The standard library's ``urllib`` is enough for that, knows the proxy variables of the
environment, and adds no dependency.
"""

from __future__ import annotations

import hashlib
import os
import re
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from io import FileIO
from itertools import chain
from pathlib import Path
from urllib.error import HTTPError, URLError

from pydantic import Field

from supernet import locks
from supernet.documents import Document
from supernet.errors import InputError
from supernet.reading import check_has_an_end

TIMEOUT_S = 30.0
"""Seconds without a single byte after which a server is given up."""
CHUNK_BYTES = 1 << 18
HEAD_BYTES = 512
LARGEST_DOWNLOAD = 8 * 2**30
"""Bytes of a file of which nothing is known: checkpoints have less than a tenth of that."""
OTHER_CONTENT = "it is not the file that is known"
"""How the errors about content begin."""
LFS_POINTER = b"version https://git-lfs.github.com/"

DownloadProgress = Callable[[int, int | None], None]
"""Takes the bytes that are here and those of the whole file, None where the server does not say."""


class Content(Document):
    """What a file holds, in short: its size in bytes and its sha256."""

    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


def download(
    url: str,
    path: Path,
    progress: DownloadProgress,
    expected: Content | None = None,
    timeout_s: float = TIMEOUT_S,
    called: str | None = None,
) -> Content:
    """Download ``url`` to ``path``, whose folder is there; what a cut connection left is kept beside it and continued next time.

    ``called`` is what that is called after: give it where ``path`` has another name each time.
    Raises InputError that says why it failed, without the address: no connection, a status, nothing
    for ``timeout_s`` seconds, an end before the end, a web page, another content than ``expected``.
    """
    partial = partial_path(url, path.with_name(called) if called is not None else path)
    with held_partial(partial) as file:
        receive(url, file, validator_path(partial), progress, expected, timeout_s)
        found = content_of(partial)
        if expected is not None and found != expected:
            forget(partial)
            raise other_content(found, expected)
        os.replace(partial, path)
        forget(partial)
    return found


def partial_path(url: str, path: Path) -> Path:
    """Where the bytes from ``url`` gather: another address has another file."""
    return path.with_name(f".{path.name}.{hashlib.sha256(url.encode()).hexdigest()[:8]}.partial")


def validator_path(partial: Path) -> Path:
    """What the server named the version that ``partial`` is the beginning of: an ETag or a date."""
    return partial.with_suffix(".validator")


def lock_path(partial: Path) -> Path:
    return partial.with_suffix(".lock")


def forget(partial: Path) -> None:
    for path in (partial, validator_path(partial)):
        path.unlink(missing_ok=True)


@contextmanager
def held_partial(partial: Path) -> Iterator[FileIO]:
    """The partial file, open for reading and writing by this process alone.

    Raises InputError where another process is writing it.
    """
    with locks.held(lock_path(partial), f"another process is downloading it to {partial}; wait for it"):
        partial.touch()
        # without a buffer, whose rest a full disk would refuse once more when the file is closed
        with partial.open("r+b", buffering=0) as file:
            try:
                yield file
            finally:
                if not file.seek(0, os.SEEK_END):
                    forget(partial)


def receive(
    url: str,
    file: FileIO,
    validator: Path,
    progress: DownloadProgress,
    expected: Content | None,
    timeout_s: float,
) -> None:
    """Complete ``file`` from ``url``: from its end where the server still has that version, else anew."""
    version = validator.read_text(encoding="utf-8") if validator.is_file() else ""
    # without a version, nothing tells that what is here is the beginning of what is there
    done = start = file.seek(0, os.SEEK_END) if version else 0
    try:
        with opened_url(url, start, version, timeout_s) as response:
            if response.status != HTTPStatus.PARTIAL_CONTENT:
                done = start = 0  # the server does not resume, or has another version now
            total = whole_size(response, start)
            if expected is not None and total not in (None, expected.size):
                raise InputError(f"{OTHER_CONTENT}: {total:,} bytes where {expected.size:,} are expected")
            first = head(response)
            if not start:
                check_is_file(response, first)
            most = expected.size if expected is not None else LARGEST_DOWNLOAD
            begin_partial(file, start, validator, version_of(response))
            for piece in chain([first], pieces(response)):
                append(file, piece)
                done += len(piece)
                if done > most:
                    file.truncate(0)
                    raise InputError(f"{OTHER_CONTENT}: it goes on after {most:,} bytes")
                progress(done, total)
    except HTTPError as error:
        error.close()
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            validator.unlink()
            receive(url, file, validator, progress, expected, timeout_s)
            return
        raise InputError(f"HTTP {error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:
        raise InputError(failure(error, timeout_s) + kept(done, validator)) from error
    if total is not None and done < total:
        raise InputError(f"the connection ended after {done:,} of {total:,} bytes" + kept(done, validator))


def opened_url(url: str, start: int, version: str, timeout_s: float) -> HTTPResponse:
    """Ask for the file, or for what follows byte ``start`` if it is still that version."""
    headers = {"User-Agent": "oncefit", "Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": version}
    response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout_s)
    if not isinstance(response, HTTPResponse):
        response.close()
        raise InputError("it leads to an address that is neither http nor https")
    return response


def whole_size(response: HTTPResponse, start: int) -> int | None:
    """Bytes of the whole file. Raises InputError for other bytes than were asked for."""
    if response.status != HTTPStatus.PARTIAL_CONTENT:
        return response.length
    given = response.headers.get("Content-Range", "")
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", given)
    if found is None or int(found[1]) != start:
        raise InputError(
            f"asked for what follows byte {start:,}, it answered with {given or 'something else'}"
        )
    return int(found[2])


def version_of(response: HTTPResponse) -> str:
    """What If-Range takes: a strong ETag, else the date of the last change, else nothing."""
    etag: str = response.headers.get("ETag", "")
    strong = etag and not etag.startswith("W/")
    return etag if strong else response.headers.get("Last-Modified", "")


def head(response: HTTPResponse) -> bytes:
    """The first bytes, which may come in several pieces."""
    found = b""
    while len(found) < HEAD_BYTES and (piece := response.read1(HEAD_BYTES - len(found))):
        found += piece
    return found


def check_is_file(response: HTTPResponse, first: bytes) -> None:
    """Raises InputError for a page or a pointer in place of the file."""
    page = first.lstrip().lower().startswith((b"<!doctype html", b"<html"))
    if page or response.headers.get_content_type() == "text/html":
        raise InputError("it answered with a web page in place of the file; open the address in a browser")
    if first.startswith(LFS_POINTER):
        raise InputError("it answered with a Git LFS pointer in place of the file")


def pieces(response: HTTPResponse) -> Iterator[bytes]:
    """What follows, as it comes in."""
    return iter(lambda: response.read1(CHUNK_BYTES), b"")


def begin_partial(file: FileIO, start: int, validator: Path, version: str) -> None:
    """Write on from ``start``; a new beginning has a new version."""
    try:
        file.seek(start)
        file.truncate()
        if not start:
            validator.write_text(version, encoding="utf-8")
    except OSError as error:
        raise unwritable_file(file, error) from error


def append(file: FileIO, piece: bytes) -> None:
    try:
        while piece:
            piece = piece[file.write(piece) :]
    except OSError as error:
        raise unwritable_file(file, error) from error


def unwritable_file(file: FileIO, error: OSError) -> InputError:
    return InputError(f"cannot write {file.name}: {error.strerror or error}")


def kept(done: int, validator: Path) -> str:
    """What is told of bytes that the next download continues."""
    resumable = False
    with suppress(OSError):
        resumable = bool(validator.read_text(encoding="utf-8"))
    return f"; {done:,} bytes are kept, and the same command continues there" if done and resumable else ""


def failure(error: OSError | HTTPException, timeout_s: float) -> str:
    """A network error in words."""
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, TimeoutError):
        return f"nothing came for {timeout_s:g} seconds"
    if isinstance(error, URLError):
        return f"no connection: {getattr(cause, 'strerror', None) or cause}"
    return f"the connection broke: {cause or type(cause).__name__}"


def other_content(found: Content, expected: Content) -> InputError:
    return InputError(
        f"{OTHER_CONTENT}: {found.size:,} bytes with the sha256 {found.sha256} "
        f"where {expected.size:,} with {expected.sha256} are expected"
    )


def content_of(path: Path) -> Content:
    """Size and sha256 of a file. Raises InputError where it cannot be read."""
    try:
        check_has_an_end(path)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return Content(size=file.tell(), sha256=digest)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
