"""Downloads from a real server on loopback: whole, cut, resumed, stalled, replaced by a page, changed."""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from supernet import downloads
from supernet.downloads import Content, download, held_partial, partial_path
from supernet.errors import InputError
from tests.helpers.loopback import Site, serving

BODY = np.random.default_rng(0).bytes(1_000_003)
OTHER = np.random.default_rng(1).bytes(1_000_003)
CUT = 300_001
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as site:
        site.files["/net"] = BODY
        yield site


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "net"


def get(site: Site, target: Path, expected: Content | None = None, timeout_s: float = 20) -> Content:
    return download(f"{site.url}/net", target, lambda *_: None, expected, timeout_s)


def cut(site: Site, target: Path) -> None:
    """Leave the beginning of a download behind."""
    site.cut_after = CUT
    with pytest.raises(InputError):
        get(site, target)
    site.cut_after = None


def test_whole(site: Site, target: Path) -> None:
    steps: list[tuple[int, int | None]] = []
    found = download(f"{site.url}/net", target, lambda *step: steps.append(step))
    assert found == Content(size=len(BODY), sha256=SHA256)
    assert target.read_bytes() == BODY
    assert [path.name for path in target.parent.iterdir()] == ["net"]
    assert steps == sorted(steps)
    assert len(steps) > 3
    assert steps[-1] == (len(BODY), len(BODY))


def test_cut_short_and_resumed(site: Site, target: Path) -> None:
    site.cut_after = CUT
    with pytest.raises(
        InputError,
        match="ended after 300,001 of 1,000,003 bytes; 300,001 bytes are kept, and the same command",
    ):
        get(site, target)
    assert not target.exists()
    site.cut_after, site.sent = None, 0
    steps: list[tuple[int, int | None]] = []
    download(f"{site.url}/net", target, lambda *step: steps.append(step))
    assert site.ranges_seen() == [None, f"bytes={CUT}-"]
    assert site.seen[1][1]["If-Range"] == '"one"'
    assert site.sent == len(BODY) - CUT
    assert steps[0][0] > CUT
    assert steps[-1] == (len(BODY), len(BODY))
    assert target.read_bytes() == BODY
    assert [path.name for path in target.parent.iterdir()] == ["net"]


def test_a_connection_that_is_reset_is_resumed(site: Site, target: Path) -> None:
    site.reset = True
    site.cut_after = CUT
    with pytest.raises(InputError, match=r"the connection broke|ended after"):
        get(site, target)
    site.cut_after = None
    get(site, target)
    assert target.read_bytes() == BODY


@pytest.mark.parametrize(
    ("etag", "changed", "if_range"),
    [
        ("", "Tue, 05 May 2020 10:00:00 GMT", "Tue, 05 May 2020 10:00:00 GMT"),
        ('W/"weak"', "Tue, 05 May 2020 10:00:00 GMT", "Tue, 05 May 2020 10:00:00 GMT"),
        ('W/"weak"', "", None),
        ("", "", None),
    ],
)
def test_only_what_names_a_version_for_sure_is_resumed(
    etag: str, changed: str, if_range: str | None, site: Site, target: Path
) -> None:
    site.etag, site.changed = etag, changed
    cut(site, target)
    get(site, target)
    assert site.seen[1][1].get("If-Range") == if_range
    assert site.ranges_seen()[1] == (f"bytes={CUT}-" if if_range else None)
    assert target.read_bytes() == BODY


def test_a_file_that_changed_meanwhile_starts_anew(site: Site, target: Path) -> None:
    cut(site, target)
    site.files["/net"], site.etag = OTHER, '"two"'
    get(site, target)
    assert site.ranges_seen()[1] == f"bytes={CUT}-"
    assert target.read_bytes() == OTHER


def test_a_server_that_ignores_ranges_starts_anew(site: Site, target: Path) -> None:
    site.ranges = False
    cut(site, target)
    get(site, target)
    assert target.read_bytes() == BODY


def test_a_range_that_is_refused_starts_anew(site: Site, target: Path) -> None:
    cut(site, target)
    site.unsatisfiable = True
    get(site, target)
    assert site.ranges_seen() == [None, f"bytes={CUT}-", None]
    assert target.read_bytes() == BODY


def test_other_bytes_than_asked_for_are_refused(site: Site, target: Path) -> None:
    cut(site, target)
    site.wrong_range = True
    with pytest.raises(
        InputError, match="asked for what follows byte 300,001, it answered with bytes 300002-"
    ):
        get(site, target)
    site.wrong_range = False
    get(site, target)
    assert target.read_bytes() == BODY


def test_another_address_does_not_continue_what_the_first_began(site: Site, target: Path) -> None:
    cut(site, target)
    site.files["/mirror"] = OTHER
    download(f"{site.url}/mirror", target, lambda *_: None)
    assert site.ranges_seen() == [None, None]
    assert target.read_bytes() == OTHER


@pytest.mark.parametrize("after", [0, CUT])
def test_a_server_that_stalls_is_given_up(after: int, site: Site, target: Path) -> None:
    site.stall_after = after
    with pytest.raises(InputError, match=r"nothing came for 1\.2 seconds") as error:
        get(site, target, timeout_s=1.2)
    assert ("bytes are kept" in str(error.value)) == (after > 0)
    site.stall_after = None
    get(site, target)
    assert target.read_bytes() == BODY


def test_a_slow_server_is_waited_for(site: Site, target: Path) -> None:
    site.pause_s = 0.12  # before each of 16 pieces
    began = time.monotonic()
    get(site, target, timeout_s=1.5)
    assert time.monotonic() - began > 1.5
    assert target.read_bytes() == BODY


def test_a_length_that_is_not_told_is_none(site: Site, target: Path) -> None:
    site.with_length = False
    steps: list[tuple[int, int | None]] = []
    download(f"{site.url}/net", target, lambda *step: steps.append(step))
    assert steps[-1] == (len(BODY), None)
    assert target.read_bytes() == BODY


def test_a_redirect_is_followed_and_resumed(site: Site, target: Path) -> None:
    site.redirects["/old"] = f"{site.url}/net"
    site.cut_after = CUT
    with pytest.raises(InputError, match="ended after"):
        download(f"{site.url}/old", target, lambda *_: None)
    site.cut_after = None
    download(f"{site.url}/old", target, lambda *_: None)
    assert site.ranges_seen()[-1] == f"bytes={CUT}-"
    assert target.read_bytes() == BODY


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "gopher://127.0.0.1/", "data:text/plain,x", "FILE:///etc/passwd"]
)
def test_a_redirect_to_what_is_no_http_is_not_followed(address: str, site: Site, target: Path) -> None:
    site.redirects["/net"] = address
    with pytest.raises(InputError):
        get(site, target)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("known", [True, False])
def test_a_file_that_never_ends_is_given_up(
    known: bool, site: Site, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "LARGEST_DOWNLOAD", CUT)
    site.with_length = False
    with pytest.raises(InputError, match="it goes on after 300,001 bytes"):
        get(site, target, Content(size=CUT, sha256=SHA256) if known else None)
    assert list(target.parent.iterdir()) == []


def test_a_missing_file(site: Site, target: Path) -> None:
    with pytest.raises(InputError, match=r"^HTTP 404 Not Found$"):
        download(f"{site.url}/none", target, lambda *_: None)
    assert list(target.parent.iterdir()) == []


def test_nobody_listens(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound and not listening: the port refuses
        with pytest.raises(InputError, match=r"^no connection: Connection refused$"):
            download(f"http://127.0.0.1:{free.getsockname()[1]}/net", target, lambda *_: None)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (b"\n<!DOCTYPE html><title>Google Drive - Virus scan warning</title>", "text/html; charset=utf-8", "browser"),
        (b" <!doctype HTML>" + b" " * 2000, "application/octet-stream", "web page"),
        (BODY, "text/html", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "text/plain", "Git LFS pointer"),
    ],
)  # fmt: skip
def test_what_is_not_the_file_is_recognised(
    body: bytes, content_type: str, message: str, site: Site, target: Path
) -> None:
    site.files["/net"], site.content_type = body, content_type
    with pytest.raises(InputError, match=message):
        get(site, target)
    assert list(target.parent.iterdir()) == []


def test_another_size_is_refused_before_it_comes(site: Site, target: Path) -> None:
    with pytest.raises(InputError, match="1,000,003 bytes where 5 are expected"):
        get(site, target, Content(size=5, sha256=SHA256))
    assert list(target.parent.iterdir()) == []


def test_another_content_is_refused_and_not_resumed(site: Site, target: Path) -> None:
    site.files["/net"] = OTHER
    target.write_bytes(b"what was here")
    with pytest.raises(InputError, match="not the file that is known") as error:
        get(site, target, Content(size=len(BODY), sha256=SHA256))
    assert SHA256 in str(error.value)
    assert hashlib.sha256(OTHER).hexdigest() in str(error.value)
    assert [path.read_bytes() for path in target.parent.iterdir()] == [b"what was here"]
    site.files["/net"] = BODY
    get(site, target, Content(size=len(BODY), sha256=SHA256))
    assert site.ranges_seen() == [None, None]


def test_an_empty_answer_is_an_empty_file(site: Site, target: Path) -> None:
    cut(site, target)
    site.files["/net"], site.etag = b"", '"two"'
    assert get(site, target) == Content(size=0, sha256=hashlib.sha256(b"").hexdigest())


def test_two_at_once_do_not_mix(site: Site, target: Path) -> None:
    with (
        held_partial(partial_path(f"{site.url}/net", target)),
        pytest.raises(InputError, match="another process is downloading it"),
    ):
        get(site, target)
    get(site, target)
    assert target.read_bytes() == BODY
