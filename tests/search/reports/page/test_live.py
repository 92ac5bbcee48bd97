"""The page that follows a search: only this machine may read it, nobody may change anything, and it has the news."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator

import pytest

import oncefit
from search.cli.app import main
from search.reports.page.live import Followed, LiveServer, live_server
from supernet.errors import InputError
from supernet.families.catalog import Supernet
from tests.helpers.browser import browser, wait_for
from tests.helpers.pages import parsed, predicted_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, supernet: Supernet) -> oncefit.Run:
    return predicted_run(tmp_path_factory.mktemp("live") / "run", supernet, trials=2)


@pytest.fixture(scope="module")
def server(run: oncefit.Run) -> Iterator[LiveServer]:
    made = live_server(Followed(run.folder), 0)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield made
    finally:
        made.shutdown()
        thread.join()
        made.server_close()


def ask(
    server: LiveServer, path: str = "/", method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read().decode()
    connection.close()
    return found


def test_it_is_the_page_with_its_version(server: LiveServer) -> None:
    status, headers, html = ask(server)
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Cache-Control"] == "no-store"
    page = parsed(html)
    assert page.faults == []
    assert ask(server, "/version")[2] in page.scripts[0]
    assert "connect-src 'self'" in page.attribute("content")[0]


def test_the_version_changes_with_the_search_and_the_page_with_it(
    server: LiveServer, run: oncefit.Run, supernet: Supernet
) -> None:
    before, there = ask(server, "/version")[2], candidates_in(ask(server)[2])
    assert there == len(run.study.get_trials())
    assert ask(server, "/version")[2] == before
    predicted_run(run.folder, supernet, trials=there + 2)
    assert ask(server, "/version")[2] != before
    assert candidates_in(ask(server)[2]) == there + 2


def candidates_in(html: str) -> int:
    return len(parsed(html).charts["progress"]["figure"]["data"][0]["x"])


def test_only_this_machine_under_its_own_name_is_answered(server: LiveServer) -> None:
    port = server.server_port
    assert server.server_address[0] == "127.0.0.1"
    assert ask(server, "/version", Host=f"localhost:{port}")[0] == 200
    for host in (
        f"evil.example:{port}",
        "localhost",
        f"127.0.0.1.evil.example:{port}",
        "",
        f"localhost:{port}@evil.example",
    ):
        status, _, text = ask(server, "/", Host=host)
        assert status == 403
        assert "oncefit:" not in text
    assert ask(server, "/version", Origin="https://evil.example")[0] == 403
    assert ask(server, "/version", Origin=f"http://localhost:{port}")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "BREW"])
def test_only_get_is_answered(server: LiveServer, method: str) -> None:
    status, headers, _ = ask(server, "/", method)
    assert status == 405
    assert headers["Allow"] == "GET"


@pytest.mark.parametrize("path", ["/study.db", "/../run/study.db", "/version/", "/?x=1", "/%2e%2e/study.db"])
def test_no_file_is_served(server: LiveServer, path: str) -> None:
    assert ask(server, path)[0] == 404


def test_nothing_in_the_run_changes(server: LiveServer, run: oncefit.Run) -> None:
    def contents() -> dict[str, bytes]:
        files = [path for path in run.folder.rglob("*") if path.is_file()]
        return {str(path): path.read_bytes() for path in files if path.suffix not in (".db-wal", ".db-shm")}

    before, trials = contents(), len(run.study.get_trials())
    for path in ("/", "/version", "/"):
        assert ask(server, path)[0] == 200
    assert contents() == before
    assert len(run.study.get_trials()) == trials


def test_a_port_that_is_taken_is_told(
    server: LiveServer, run: oncefit.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    port = server.server_port
    with pytest.raises(InputError, match=f"port {port} is taken; give another one, as --port {port + 1}"):
        live_server(Followed(run.folder), port)
    with pytest.raises(SystemExit):
        main(["report", str(run.folder), "--serve", "--port", str(port)])
    assert f"port {port} is taken" in capsys.readouterr().err


def test_a_browser_loads_the_page_anew_when_there_is_news(
    server: LiveServer, run: oncefit.Run, supernet: Supernet
) -> None:
    with browser() as driver:
        driver.get(f"http://127.0.0.1:{server.server_port}/")
        wait_for(driver, "document.documentElement.dataset.drawn")
        there = len(driver.execute_script("return document.querySelector('#chart-progress').data[0].x"))
        predicted_run(run.folder, supernet, trials=there + 1)
        wait_for(driver, f"document.querySelector('#chart-progress').data?.[0].x.length === {there + 1}")
        errors = [one for one in driver.get_log("browser") if "favicon" not in one["message"]]
        assert errors == []
