"""What people read: progress and messages on standard error, results on standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.reports.progress import bar as bar
from search.reports.progress import console
from search.reports.progress import search_progress as search_progress
from search.reports.progress import training_progress as training_progress
from supernet.messages import say as say

if TYPE_CHECKING:
    from rich.console import RenderableType


def say_files(files: Sequence[Path]) -> None:
    say("wrote " + ", ".join(str(path) for path in files))


def say_loudly(text: str) -> None:
    """What must not be overlooked, in bold on standard error, as it is."""
    console(stderr=True).print(f"\n{text}", style="bold", markup=False)


def print_json(value: dict[str, Any]) -> None:
    """A result for programs, on standard output."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def show(table: RenderableType) -> None:
    """A result, on standard output."""
    console(stderr=False).print(table)


def show_titled(title: str, table: RenderableType, note: str = "") -> None:
    """A result under a title and above a note, which are printed as they are: a path may hold brackets."""
    out = console(stderr=False)
    out.print(title, soft_wrap=True, markup=False)
    out.print(table)
    if note:
        out.print(note, soft_wrap=True, markup=False)


@contextmanager
def resumable(
    sentence: str = "stopped; nothing that was measured is lost, the same command continues",
) -> Iterator[None]:
    """Ctrl-C ends the command with one sentence and exit code 130."""
    import typer

    try:
        yield
    except KeyboardInterrupt:
        say(sentence)
        raise typer.Exit(130) from None
