"""A command that is killed with -9 at random moments, again and again, and goes on each time."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST_IN_A_FOLDER = 5
"""Kills after which a command may end, so that its end is seen often; it may have ended before."""
COMMAND = (sys.executable, "-W", "error", "-m", "search")


@dataclass(frozen=True)
class Job:
    """A command, which is run in a folder of its own, and what must be true of that folder.

    ``begin`` puts there what the command needs, by the folder's number. After each kill and at the end ``is_sound``
    raises AssertionError where something half written could be taken for whole, and what ``finished`` tells has only
    grown. ``result`` is of a folder whose command has ended: the same for all.
    """

    arguments: Sequence[object]
    result: Callable[[Path], Any]
    is_sound: Callable[[Path], None] = lambda _: None
    finished: Callable[[Path], Sequence[Any]] = lambda _: ()
    begin: Callable[[Path, int], None] = lambda _folder, _number: None
    command: Sequence[str] = COMMAND


@dataclass
class Tally:
    """``early`` of the ``kills`` came before the command had written anything; ``seconds`` is what it takes undisturbed."""

    seconds: float
    kills: int = 0
    early: int = 0
    ended: int = 0

    def __str__(self) -> str:
        return (
            f"{self.kills} kills of a command of {self.seconds:.1f} s, {self.early} of them before it had written anything; "
            f"it ended well {self.ended} times"
        )


def killed_at_random(job: Job, kills: int, seed: int, where: Path) -> Tally:
    """Kill the job so often, at moments drawn evenly from its undisturbed time, in folders of ``where``.

    Raises AssertionError where a folder is not as :class:`Job` says, or the command fails.
    """
    undisturbed = begun(job, where, 0)
    began = time.monotonic()
    assert ended(job, undisturbed, None), "it has no limit"
    tally, rng = Tally(time.monotonic() - began), random.Random(seed)
    looked_at(job, undisturbed, ())
    expected = job.result(undisturbed)
    while tally.kills < kills:
        folder = begun(job, where, tally.ended + 1)
        before, finished = contents(folder), tuple(job.finished(folder))
        for _ in range(min(rng.randint(1, MOST_IN_A_FOLDER), kills - tally.kills)):
            if ended(job, folder, rng.uniform(0, tally.seconds)):
                break
            tally.kills += 1
            tally.early += contents(folder) == before
            finished = looked_at(job, folder, finished)
        else:
            ended(job, folder, None)
        looked_at(job, folder, finished)
        assert job.result(folder) == expected, f"{folder} ends otherwise than undisturbed"
        tally.ended += 1
    return tally


def begun(job: Job, where: Path, number: int) -> Path:
    folder = where / f"{number}"
    folder.mkdir(parents=True)
    job.begin(folder, number)
    return folder


def ended(job: Job, folder: Path, seconds: float | None) -> bool:
    """Whether the command came to its end within so many seconds; else it and all of its group are killed."""
    log = folder.with_suffix(".log")
    with log.open("wb") as said:
        process = subprocess.Popen(
            [*job.command, *map(str, job.arguments)], cwd=folder, stdout=said, stderr=said, start_new_session=True
        )  # fmt: skip
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert code == 0, log.read_text(errors="replace")
    return True


def looked_at(job: Job, folder: Path, before: tuple[Any, ...]) -> tuple[Any, ...]:
    """What is finished now, after all that was before."""
    job.is_sound(folder)
    now = tuple(job.finished(folder))
    assert now[: len(before)] == before, f"{folder} lost what was finished"
    assert len(set(now)) == len(now), f"{folder} has something twice"
    return now


def contents(folder: Path) -> set[tuple[str, int]]:
    """Names and times of all files."""
    return {(str(path), path.stat().st_mtime_ns) for path in folder.rglob("*")}
