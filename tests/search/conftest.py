"""Fixtures of the tests of searches."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.cli.app import main
from tests.helpers.commands import Here


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """Runs a command in this process; returns what it printed on standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, code: int = 0) -> tuple[str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(list(map(str, arguments)))
        printed = capsys.readouterr()
        assert end.value.code == code, printed.err
        return printed.out, printed.err

    return run
