"""A command on input of somebody else's: how it may end, and what it may leave behind."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from search.cli.app import main
from supernet.printable import STEERING

HANGS_S = 60
"""Far beyond the ten seconds that any refusal may take, so that a busy machine is no hang."""


def ended(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> tuple[int, str]:
    """Exit code, and what is said on both streams: without a traceback, in one paragraph, and nothing steers a terminal."""
    capsys.readouterr()
    with no_hang(), pytest.raises(SystemExit) as end:
        main(arguments)
    out, err = capsys.readouterr()
    assert end.value.code in (0, 2), err
    assert "Traceback" not in out + err
    assert not STEERING.search(out + err), repr(STEERING.search(out + err))
    if end.value.code == 2 and not err.startswith("Usage: "):  # of typer, in three lines
        said = err.rpartition("oncefit: ")[2]
        assert said.count("\n") == 1, err
        assert len(said) < 3_000
    return int(end.value.code), out + err


@contextmanager
def no_hang() -> Iterator[None]:
    def give_up(*_: object) -> None:
        raise AssertionError(f"no end within {HANGS_S} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(HANGS_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def held_below(folder: Path) -> set[tuple[str, int]]:
    """Every file below a folder, with its size."""
    return {(str(path), path.lstat().st_size) for path in folder.rglob("*") if not path.is_dir()}
