"""File systems without locks, as some network file systems: refused with what to use in their place."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from supernet import locks
from supernet.errors import InputError
from tests.helpers.digits import write_digits
from tests.helpers.own_supernet import write_own
from tests.helpers.paths import ROOT


@pytest.mark.parametrize("refused", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_where_there_are_no_locks_that_is_told(
    refused: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that is only a file would outlive a killed process."""

    def no_lock(*_: object) -> None:
        raise OSError(refused, os.strerror(refused))

    path = tmp_path / "a.lock"
    path.touch()
    monkeypatch.setattr(fcntl, "flock", no_lock)
    for use in (
        lambda: locks.held(path, "another").__enter__(),
        lambda: locks.awaited(path, lambda: None).__enter__(),
        lambda: locks.held_if_free(path).__enter__(),
        lambda: locks.is_held(path),
    ):
        with pytest.raises(InputError) as error:
            use()
        assert str(error.value).startswith(
            f"cannot lock {path}: {os.strerror(refused)}; its file system has no locks"
        )
        assert "--out" in str(error.value)
        assert "--storage postgresql" in str(error.value)


@pytest.fixture(scope="module")
def no_locks(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a process is started with so that no file system has locks for it."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("there is no C compiler here, or no preloading of libraries")
    made = tmp_path_factory.mktemp("no_locks") / "no_locks.so"
    source = ROOT / "tests" / "helpers" / "no_locks.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(made), str(source), "-ldl"], check=True)
    return str(made)


@pytest.mark.slow
def test_commands_on_a_file_system_without_locks(no_locks: str, tmp_path: Path) -> None:
    config = ROOT / "configs" / "searches" / "imagenet-macs.yaml"
    digits, recipe = write_digits(tmp_path / "digits", 20, 20), write_own(tmp_path)
    for arguments in (
        ("search", config, "--out", tmp_path / "run"),
        ("train", recipe, "--data", digits, "--out", tmp_path / "trained"),
        (
            "weights",
            "fetch",
            "ofa_mbv3_w1.0",
            "--from",
            "http://127.0.0.1:9/net",
            "--cache-dir",
            tmp_path / "cache",
        ),
    ):
        ended = subprocess.run(
            [sys.executable, "-W", "error", "-m", "search", *map(str, arguments)],
            capture_output=True, text=True, env={**os.environ, "LD_PRELOAD": no_locks}, cwd=ROOT,
        )  # fmt: skip
        assert ended.returncode == 2, ended.stderr
        assert "No locks available; its file system has no locks" in ended.stderr.splitlines()[-1], arguments


PROGRAM = """
import sys
from search.storages import urls as storage_urls
from supernet.errors import InputError
storage_urls.BUSY_S = 0.5
try:
    storage = storage_urls.open_storage(sys.argv[1])
    storage.create_new_study([1], "mine")
except InputError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("url", "told"), [
    ("sqlite:///study.db", "database is locked; others keep it locked, or its file system has no locks"),
    ("mine.journal", "mine.journal: Operation not permitted; mend that, and the same command goes on, or give a path on"),
])  # fmt: skip
def test_storages_on_a_file_system_without_locks(url: str, told: str, no_locks: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, url], capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "LD_PRELOAD": no_locks, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert told in ended.stdout, ended.stderr
    assert "--storage" in ended.stdout
    assert "postgresql" in ended.stdout
