"""A command in this process, which saves its imports."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from search.cli.app import main


def command_here(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must succeed, with arguments as they are typed; returns what it printed on standard output."""

    def run(*arguments: object) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(list(map(str, arguments)))
        printed = capsys.readouterr()
        assert end.value.code == 0, printed.err
        return printed.out

    return run
