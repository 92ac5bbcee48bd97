"""Storages by their URLs: what is kept of one, and those whose server is away for a while."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

import oncefit
from search.runs.trials import search
from search.storages import patience
from search.storages.urls import (
    STORAGE_VARIABLE,
    NotThereError,
    database_in,
    decodes,
    lasting,
    open_storage,
    with_password,
    without_password,
)
from supernet.errors import InputError
from tests.helpers.free_search import free_run, judged
from tests.helpers.postgresql import NoServerError, Server, running_server
from tests.helpers.study_tables import CUT, asked

PASSWORD = "s3cr:t/w%rd"


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("postgresql+psycopg://me:secret@host:5432/db", "postgresql+psycopg://me@host:5432/db"),
        ("postgresql://me:se@cret@host/db", "postgresql://me@host/db"),
        ("postgresql://me@host/db?password=secret", "postgresql://me@host/db"),
        ("postgresql://me@host/db?password=secret&host=/tmp", "postgresql://me@host/db?host=/tmp"),
        ("postgresql://host/db?sslmode=require&sslpassword=secret", "postgresql://host/db?sslmode=require"),
        ("mysql+pymysql://me:secret@host/db", "mysql+pymysql://me@host/db"),
        ("grpc://host:13000", "grpc://host:13000"),
    ],
)
def test_what_is_kept_of_a_url(url: str, kept: str) -> None:
    assert lasting(url) == kept
    assert lasting(kept) == kept
    assert "secret" not in without_password(f"cannot reach {url}, really")


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("postgresql://me:a secret@host/db", "postgresql://me@host/db"),
        ("postgresql://me:a sec@ret@host/db?sslmode=require", "postgresql://me@host/db?sslmode=require"),
        ("postgresql://me:sec?ret@host/db", "postgresql://me@host/db"),
        ("postgresql://host/db?user=me&password=a secret", "postgresql://host/db?user=me"),
        ("postgresql://me@host/db?options=a@b", "postgresql://me@host/db?options=a@b"),
    ],
)
def test_a_password_may_have_what_a_url_in_a_text_may_not(url: str, kept: str) -> None:
    assert lasting(url) == kept


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("sqlite:////a/study.db", "sqlite:////a/study.db"),
        ("/a/study.journal", "journal:////a/study.journal"),
        ("journal:////a/study.journal", "journal:////a/study.journal"),
    ],
)
def test_a_file_is_kept_by_its_url(url: str, kept: str) -> None:
    assert lasting(url) == kept


def test_a_relative_journal_is_the_same_from_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (
        lasting("mine.journal") == lasting("journal:///mine.journal") == f"journal:///{tmp_path}/mine.journal"
    )


def test_the_environment_adds_a_password_to_its_own_storage_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STORAGE_VARIABLE, "postgresql://me:secret@host/db")
    assert with_password("postgresql://me@host/db") == "postgresql://me:secret@host/db"
    assert with_password("postgresql://me@host/other") == "postgresql://me@host/other"


@pytest.mark.parametrize("odd", ["x{a}", "{}", "{SCHEMA_VERSION}", "{{a}}"])
def test_braces_in_a_url_are_braces(odd: str, tmp_path: Path) -> None:
    """Optuna would fill in what they name."""
    optuna.create_study(storage=open_storage(f"sqlite:///{tmp_path}/{odd}.db"), study_name="mine")
    assert [file.name for file in tmp_path.glob("*.db")] == [f"{odd}.db"]
    assert open_storage(f"sqlite:///{tmp_path}/{odd}.db").get_all_studies()[0].study_name == "mine"


@pytest.mark.parametrize("odd", ["a?b", "a?b{c}%41#d&e=f", "50%41", "{a}%"])
@pytest.mark.parametrize("relative", [True, False])
def test_the_database_of_a_folder_is_in_it_whatever_it_is_called(
    odd: str, relative: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A URL's file ends before a question mark, and a study of another folder would be there."""
    if not decodes() and "?" in odd:
        pytest.skip("before SQLAlchemy 2.1 no URL names such a file")
    monkeypatch.chdir(tmp_path)
    folder = Path(odd) if relative else tmp_path / odd
    folder.mkdir()
    optuna.create_study(storage=open_storage(database_in(folder / "study.db")), study_name="mine")
    assert [path.name for path in tmp_path.iterdir()] == [odd]
    assert (folder / "study.db").is_file()
    monkeypatch.chdir(folder)
    kept = lasting("sqlite:///study.db")
    monkeypatch.chdir(tmp_path)
    assert open_storage(kept).get_all_studies()[0].study_name == "mine"
    assert lasting(kept) == kept


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("grpc://localhost:1", "cannot use the storage grpc://localhost:1"),
        ("/no/such/folder/a.journal", "cannot use the storage journal:////no/such/folder/a.journal"),
        ("postgresql+psycopg://me:pass@word@host/db", "an @ in a password is written %40"),
        ("postgresql+psycopg://me:secret@localhost:1/db", "cannot use the storage postgresql"),
    ],
)
def test_a_storage_that_cannot_be_reached(url: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.storages.urls.GRPC_WAIT_S", 0.1)
    with pytest.raises(InputError) as error:
        open_storage(url)
    assert message in str(error.value) or "pip install 'oncefit[" in str(error.value)
    assert "word@" not in str(error.value)
    assert "secret" not in str(error.value)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    pytest.importorskip("psycopg")
    try:
        with running_server(PASSWORD) as made:
            yield made
    except NoServerError as error:
        pytest.skip(str(error))


@pytest.fixture
def url(server: Server) -> str:
    """With the password in it."""
    return server.url.replace("oncefit@", f"oncefit:{PASSWORD.replace('%', '%25').replace('/', '%2F')}@")


def test_a_password_is_in_no_file_and_comes_from_the_environment(
    server: Server,
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = free_run(tmp_path / "run", "random", 3, url)
    search(run, lambda progress: None)
    texts = [path.read_bytes().decode(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert texts
    assert not [text for text in texts if "s3cr" in text]
    assert "s3cr" not in repr(run)
    remembered = free_run(tmp_path / "run", "random", 3, None)
    with pytest.raises(NotThereError) as error:
        remembered.study()
    assert "s3cr" not in str(error.value)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    assert len(remembered.study().trials) >= 3
    monkeypatch.delenv("PGPASSWORD")
    monkeypatch.setenv(STORAGE_VARIABLE, url)
    assert len(remembered.study().trials) >= 3
    assert "s3cr" not in "".join(capsys.readouterr())


def test_a_server_that_comes_back_is_waited_for(
    server: Server, url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(url)
    study = optuna.create_study(storage=storage, study_name="away")
    trial = study.ask()
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    assert asked(server.url, CUT)
    trial.set_user_attr("after", "the connections were cut")
    server.stop()
    back = threading.Timer(1.0, server.start)
    back.start()
    study.tell(trial, 0.5)
    back.join()
    [found] = study.get_trials()
    assert (found.value, found.user_attrs) == (0.5, {"after": "the connections were cut"})
    said = capsys.readouterr().err
    assert said.count("does not answer; asking it again for 300 s") == 1
    assert "s3cr" not in said


def test_an_end_that_was_kept_but_not_answered_is_no_error(url: str) -> None:
    storage = open_storage(url)
    study = optuna.create_study(storage=storage, study_name="twice")
    trial = study.ask()
    for _ in range(2):
        assert storage.set_trial_state_values(trial._trial_id, state=TrialState.COMPLETE, values=[0.5])
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        storage.set_trial_state_values(trial._trial_id, state=TrialState.COMPLETE, values=[0.25])
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)


def test_a_server_that_stays_away_is_given_up() -> None:
    now = [0.0]

    class Away(optuna.storages.InMemoryStorage):
        def get_all_studies(self) -> list[optuna.study._frozen.FrozenStudy]:
            raise ConnectionResetError

    def sleep(seconds: float) -> None:
        now[0] += seconds

    storage = patience.patient(
        Away(), lambda error: isinstance(error, ConnectionError), "far", 60.0, lambda: now[0], sleep
    )
    with pytest.raises(
        InputError, match=r"the storage far has not answered for 6. s; nothing that it had is lost"
    ):
        storage.get_all_studies()


PROXY = """
import sys, warnings
warnings.simplefilter("ignore")
from optuna.storages import run_grpc_proxy_server
from optuna.storages import get_storage
run_grpc_proxy_server(get_storage(sys.argv[1]), host="localhost", port=int(sys.argv[2]))
"""


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[str]:
    import socket

    pytest.importorskip("grpc")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    started = subprocess.Popen([sys.executable, "-c", PROXY, f"sqlite:///{tmp_path}/behind.db", str(port)])
    try:
        yield f"grpc://localhost:{port}"
    finally:
        started.kill()
        started.wait()


def test_workers_behind_a_proxy_share_its_study(proxy: str, tmp_path: Path) -> None:
    run = free_run(tmp_path / "run", "guided", 6, insisted(proxy))
    search(run, lambda progress: None)
    assert set(judged(tmp_path / "run").values()) == {1}
    assert len(judged(tmp_path / "run")) == 6
    [name] = [one.study_name for one in open_storage(proxy).get_all_studies()]
    found = optuna.load_study(study_name=name, storage=f"sqlite:///{tmp_path}/behind.db")
    assert sum(trial.state == TrialState.COMPLETE for trial in found.trials) == 6
    with pytest.raises(InputError, match="there is no study 'other' in grpc://localhost"):
        oncefit.work(storage=proxy, study="other")


def insisted(url: str) -> str:
    """The URL, when its server listens."""
    for _ in range(60):
        try:
            open_storage(url)
        except InputError:
            time.sleep(0.5)
        else:
            break
    return url
