"""Progress of what takes long, on standard error: a bar on a terminal, lines elsewhere; Ctrl-C between two steps."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from search.fleets.fleet import Fleet
from search.runs.run import Progress, Run
from supernet.messages import say

if TYPE_CHECKING:
    from rich.console import Console

    from supernet.training.training_state import TrainingProgress as TrainingProgress

WIDTH_WITHOUT_TERMINAL = 130
SECONDS_BETWEEN_LINES = 10
HOW = {"validation split": "on validation", "predicted": "predicted", "own evaluation": "by own evaluation"}

MEGABYTE = 1_000_000


def console(stderr: bool) -> Console:
    from search.reports.plain_console import PlainConsole

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDTH_WITHOUT_TERMINAL
    return PlainConsole(
        stderr=stderr, width=width, highlight=False, soft_wrap=stderr, markup=False, emoji=False
    )


@contextmanager
def search_progress(run: Run) -> Iterator[Callable[[Progress], None]]:
    """Candidates with the best so far."""
    with bar("searching") as show_state:

        def update(now: Progress) -> None:
            status = ""
            if now.best is not None:
                name = run.problem.objectives[0].name
                best = f"{name.replace('top', 'top-')} {100 * now.best.value(name):.2f} %"
                how = HOW[run.kind] if now.best.validation is None else HOW["validation split"]
                asked = "predicted" if run.predictor is not None else "proposed"
                status = f"{best} {how}, {now.proposals} {asked}"
            show_state(now.trials, now.of, status)

        yield update


@contextmanager
def fleet_progress(fleet: Fleet) -> Iterator[Callable[[str, Progress], None]]:
    """Subnets evaluated, with the best so far of the device whose turn it is."""
    with bar("searching") as show_state:
        name = fleet.first.problem.objectives[0].name

        def update(device: str, now: Progress) -> None:
            status = f"{len(fleet.runs)} devices"
            if now.best is not None:
                status += f", {device}: {name.replace('top', 'top-')} {100 * now.best.value(name):.2f} %"
            show_state(now.trials, now.of, status)

        yield update


@contextmanager
def training_progress() -> Iterator[Callable[[TrainingProgress], None]]:
    with bar("training") as show_state:

        def update(now: TrainingProgress) -> None:
            status = f"{now.phase}: loss {now.loss:.3f}, {now.images_per_second:.0f} images/s"
            if not sys.stderr.isatty():  # a bar has a clock of its own
                status += f", {timedelta(seconds=round(now.seconds_left))} left"
            show_state(now.step, now.steps, status)

        yield update


@contextmanager
def download_progress() -> Iterator[Callable[[int, int | None], None]]:
    """Whole megabytes; there is no bar before the first byte."""
    with ExitStack() as opened:
        show_state: Callable[[int, int, str], None] | None = None

        def update(done: int, total: int | None) -> None:
            nonlocal show_state
            show_state = show_state or opened.enter_context(bar("downloading"))
            here, of = done // MEGABYTE, (total if total is not None else done) // MEGABYTE
            show_state(here, of, "MB" if total is not None else "MB, size unknown")

        yield update


@contextmanager
def heeding_ctrl_c() -> Iterator[Callable[[], None]]:
    """Ctrl-C is heeded between two steps, where nothing is half done; a second one at once.

    What is yielded is called between steps and raises KeyboardInterrupt if Ctrl-C came.
    """
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        say("stopping after this step; Ctrl-C once more stops at once")

    def check() -> None:
        if asked:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def bar(task: str) -> Iterator[Callable[[int, int, str], None]]:
    """Progress of steps, between which Ctrl-C is heeded."""
    shown = drawn if sys.stderr.isatty() else lines
    with heeding_ctrl_c() as check, shown(task) as show_state:

        def step(done: int, of: int, status: str) -> None:
            show_state(done, of, status)
            check()

        yield step


@contextmanager
def drawn(task: str) -> Iterator[Callable[[int, int, str], None]]:
    """A bar for a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(bar_width=12), MofNCompleteColumn(),
        TimeRemainingColumn(compact=True), TextColumn("{task.fields[status]}", markup=False),
    )  # fmt: skip
    with Progress(*columns, console=console(stderr=True)) as progress:
        shown = progress.add_task(task, total=None, status="")
        yield lambda done, of, status: progress.update(shown, completed=done, total=of, status=status)


@contextmanager
def lines(task: str) -> Iterator[Callable[[int, int, str], None]]:
    """A line every ten seconds and at the end, for log files."""
    last_shown, last_line = time.monotonic(), ""

    def show_state(done: int, of: int, status: str) -> None:
        nonlocal last_shown, last_line
        last_line = f"{task} {done}/{of} {status}"
        if time.monotonic() - last_shown >= SECONDS_BETWEEN_LINES:
            say(last_line)
            last_shown, last_line = time.monotonic(), ""

    try:
        yield show_state
    finally:
        if last_line:
            say(last_line)
