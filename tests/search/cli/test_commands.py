"""The command line as a stranger reads it: help that fits, a version, and an answer at once."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from search.cli.app import app, main
from tests.helpers.imports import COMMANDS, HEAVY, loaded_after

WIDTH = 80


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    def run(*arguments: str) -> str:
        monkeypatch.setenv("COLUMNS", str(WIDTH))
        monkeypatch.setenv("TERMINAL_WIDTH", str(WIDTH))
        with pytest.raises(SystemExit) as end:
            main(arguments)
        out, err = capsys.readouterr()
        assert (end.value.code, err) == (0, "")
        return out

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_each_option_is_one_line_of_help(command: str, printed) -> None:
    lines = printed(*command.split(), "--help").splitlines()
    assert max(map(len, lines)) <= WIDTH
    for place in ("Arguments:", "Options:"):
        if place not in lines:
            continue
        block = lines[lines.index(place) + 1 :]
        block = block[: block.index("")] if "" in block else block
        for line in block:
            assert re.match(r"  \S.*?  +\S", line), f"a line is empty or goes on from the one above: {line!r}"


@pytest.mark.parametrize("command", ["", *COMMANDS, "predictor", "weights", "devices"])
def test_h_is_help(command: str, printed) -> None:
    assert printed(*command.split(), "-h") == printed(*command.split(), "--help")


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("oncefit pre", {"predictor"}),
        ("oncefit devices ", {"import"}),
        ("oncefit search --mea", {"--measure"}),
    ],
)
def test_a_shell_can_complete(typed: str, completed: set[str]) -> None:
    """As the script does that ``--install-completion`` writes for bash."""
    words = typed.split(" ")
    asked = {"COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1), "_ONCEFIT_COMPLETE": "complete_bash"}
    found = subprocess.run(
        [sys.executable, "-m", "search"],
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(found.stdout.split()) == completed


def test_completion_is_installed_where_the_shell_looks(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    subprocess.run(
        [sys.executable, "-m", "search", "--install-completion", "bash"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "_ONCEFIT_COMPLETE" in (tmp_path / ".bash_completions" / "oncefit.sh").read_text()
    assert "oncefit.sh" in (tmp_path / ".bashrc").read_text()


@pytest.mark.parametrize("group", ["", *sorted({name.split()[0] for name in COMMANDS if " " in name})])
def test_each_command_is_one_whole_sentence_in_the_list(group: str, printed) -> None:
    lines = printed(*group.split(), "--help").splitlines()
    listed = [line.split(maxsplit=1) for line in lines[lines.index("Commands:") + 1 :]]
    prefix = f"{group} " if group else ""
    assert {name for name, _ in listed} == {
        name.removeprefix(prefix).split()[0] for name in COMMANDS if name.startswith(prefix)
    }
    for name, sentence in listed:
        assert sentence.endswith("."), name
        assert "..." not in sentence, name


def test_defaults_are_shown(printed) -> None:
    for command in app.registered_commands:
        name = command.name or command.callback.__name__
        [line] = [line for line in printed(name, "--help").splitlines() if line.startswith("  --out")] or [""]
        assert "[default: " in line or not line
    assert "[default: best]" in printed("export", "--help")
    assert "[default: 40; x>=1]" in printed("demo", "--help")


def test_the_version_is_that_of_the_package(printed) -> None:
    assert printed("--version") == f"oncefit {version('oncefit')}\n"
    loaded = loaded_after(
        "from search.cli.app import main\ntry:\n    main(['--version'])\nexcept SystemExit: pass"
    )
    assert not loaded & HEAVY


def test_help_answers_at_once() -> None:
    """Processor time, which other programs do not lengthen as they do the clock's."""

    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    seconds = []
    for _ in range(3):
        before = spent()
        subprocess.run([sys.executable, "-m", "search", "--help"], capture_output=True, check=True)
        seconds.append(spent() - before)
    assert min(seconds) < 0.5
