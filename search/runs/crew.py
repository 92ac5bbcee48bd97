"""A search by several processes of this machine: they work, this one watches them and tells of the progress.

Each is an ``oncefit work`` in the run's folder. One that dies is replaced, its trial run again; they leave when this
process is told to stop, or is gone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from search.feasible.budget_messages import check_feasible
from search.runs import study as studies
from search.runs.config import BOTH
from search.runs.front import best
from search.runs.own import Own
from search.runs.results import most_promising, settled
from search.runs.run import Progress, Run
from search.runs.trials import Told, begin, bury_in_turn, prepared, proposes, settle
from search.storages.urls import STORAGE_VARIABLE, lasting, without_password
from search.storages.workers import WORKERS, at_work
from supernet import locks
from supernet.bounds import check_between
from supernet.errors import InputError

if TYPE_CHECKING:
    import optuna

    from search.runs.ledger import Ledger
    from search.storages.workers import Worker


class Hands(Protocol):
    """Those who make the trials of a search."""

    def look(self, wanted: bool) -> int:
        """See to it that they are at work, if they are ``wanted``; the number of those who are."""
        ...


MOST_WORKERS = 1000
DEATHS = 5
"""A search gives up when more than so many of its workers have died for each that there is."""
WAIT_S = 300
"""Seconds that a worker which begins waits for a storage that is away."""
LOOK_S, LEAVE_S = 0.5, 30.0
REFUSED = 2
"""The exit code of a command whose input was wrong: another worker would be refused too."""
SHOWN = 500
"""Characters of what a worker said last that are shown."""


def check_workers(workers: int, own: Own) -> None:
    """Raises InputError for a number that cannot be, and for objects that other processes cannot be given."""
    check_between(workers, 1, MOST_WORKERS, "workers")
    objects = {"supernet": own.supernet, "costs": own.costs, "sampler": own.sampler, "accuracy": own.accuracy}
    given = [name for name, one in objects.items() if one]
    if workers > 1 and given:
        raise InputError(
            f"workers: {workers} are processes of their own, which objects of this one do not reach, and {', '.join(given)} "
            "came as objects; name them in a config (costs as package.module:function), or leave workers out and start "
            "this program several times"
        )


def search_in_crew(run: Run, workers: int, progress: Callable[[Progress], None]) -> None:
    """As :func:`search.runs.trials.search`, by so many processes.

    Raises InputError where they are refused, or die too often. KeyboardInterrupt leaves the study resumable.
    """
    search_by(run, lambda left: working(run, min(workers, left)), progress)


def search_by(
    run: Run, hired: Callable[[int], AbstractContextManager[Hands]], progress: Callable[[Progress], None]
) -> None:
    """A search by others, whom ``hired`` sets to work for so many trials that are left; what they raise, this raises."""
    told = Told(progress, run.config.trials)
    witness = check_feasible(run.problem, run.where)
    study = prepared(run, told.again)
    if proposes(run):
        with studies.still_there(study), at_work(run.folder) as worker:
            with studies.in_turn(run.folder, told.again):
                ledger = begin(run, study, worker, witness)
            left = run.config.trials - ledger.done
            if left > 0:
                with hired(left) as crew:
                    watch_trials(run, study, ledger, worker, crew, told)
    settle(run, study, told)
    if run.config.accuracy == BOTH:
        left = len(most_promising(run, study)) - len(settled(run, study))
        if left > 0:
            with hired(left) as crew:
                watch_measuring(run, study, crew, told)


def watch_trials(
    run: Run, study: optuna.Study, ledger: Ledger, worker: Worker, crew: Hands, told: Told
) -> None:
    """Until the workers have nothing left to do: what dead ones left is theirs again."""
    while True:
        busy = crew.look(wanted=ledger.done < run.config.trials)
        ledger.follow()
        bury_in_turn(run, study, ledger, worker)
        told(Progress(ledger.done, run.config.trials, ledger.trials, ledger.best(run.axes)))
        if not busy:
            return
        time.sleep(LOOK_S)


def watch_measuring(run: Run, study: optuna.Study, crew: Hands, told: Told) -> None:
    """Until the best by prediction are measured."""
    of = len(most_promising(run, study))
    while True:
        known = settled(run, study)
        busy = crew.look(wanted=len(known) < of)
        told(Progress(len(known), of, len(known), best(known, run.axes) if known else None))
        if not busy:
            return
        time.sleep(LOOK_S)


# -- processes ------------------------------------------------------------------


class Crew:
    """Processes by their places, each with a file that holds what it says."""

    def __init__(self, run: Run, count: int) -> None:
        self._folder = run.folder
        self._environment = environment_of_workers(run, count)
        self._logs = [run.folder / WORKERS / f"worker-{place}.log" for place in range(count)]
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._deaths, self._most = 0, DEATHS * count

    def start(self) -> None:
        for place in range(len(self._logs)):
            self._processes[place] = self._started(place)

    def look(self, wanted: bool) -> int:
        """Replace those that died, if they are still wanted; the number of those at work.

        Raises InputError where one was refused, or too many died.
        """
        for place, process in list(self._processes.items()):
            code = process.poll()
            if code is None:
                continue
            buried(self._processes.pop(place))
            if code == REFUSED:
                raise InputError(f"a worker of {self._folder} was refused: {said_last(self._logs[place])}")
            if code != 0 and wanted:
                self._replace(place, code)
        return len(self._processes)

    def _replace(self, place: int, code: int) -> None:
        self._deaths += 1
        if self._deaths > self._most:
            raise InputError(
                f"{self._deaths} workers of {self._folder} died, the last one by {ending(code)}; {said_last(self._logs[place])} "
                "Nothing that was finished is lost, and the same command goes on; where memory is short, with fewer --workers"
            )
        self._processes[place] = self._started(place)

    def _started(self, place: int) -> subprocess.Popen[bytes]:
        command = [
            sys.executable, "-P", "-m", "search", "work", str(self._folder.absolute()), "--wait", str(WAIT_S),
            "--until-stdin-closes",
        ]  # fmt: skip
        self._logs[place].parent.mkdir(exist_ok=True)
        with self._logs[place].open("wb") as log:
            # of a session of their own, since Ctrl-C is for this process to pass on
            return subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=self._environment, start_new_session=True,
            )  # fmt: skip

    def stop(self, at_once: bool) -> None:
        """Let them finish the trial that they are at, unless they are to stop ``at_once``, or a second Ctrl-C says so."""
        try:
            self._interrupt()
            self._await(LEAVE_S if at_once else None)
        except KeyboardInterrupt:
            self._interrupt()
            self._await(LEAVE_S)
        finally:
            for process in self._processes.values():
                process.kill()
                buried(process)

    def forget(self) -> None:
        """Remove what they said, which nobody needs when all went well, and the locks that dead ones left."""
        for log in self._logs:
            log.unlink(missing_ok=True)
        for lock in (self._folder / WORKERS).glob("*.lock"):
            # it goes as it is given back, lest a worker that begins loses its own
            with locks.held_if_free(lock):
                pass

    def _alive(self) -> list[subprocess.Popen[bytes]]:
        return [process for process in self._processes.values() if process.poll() is None]

    def _interrupt(self) -> None:
        for process in self._alive():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)

    def _await(self, seconds: float | None) -> None:
        began = time.monotonic()
        while self._alive():
            if seconds is not None and time.monotonic() - began > seconds:
                return
            time.sleep(LOOK_S)


@contextmanager
def working(run: Run, count: int) -> Iterator[Crew]:
    """So many processes at work in a run; whatever ends the body, none is left."""
    crew = Crew(run, count)
    try:
        crew.start()
        yield crew
        crew.forget()
    except KeyboardInterrupt:
        crew.stop(at_once=False)
        raise
    finally:
        crew.stop(at_once=True)


def buried(process: subprocess.Popen[bytes]) -> None:
    """Close what is held of a process that has ended, or is about to."""
    assert process.stdin is not None
    process.stdin.close()
    process.wait()


def environment_of_workers(run: Run, count: int) -> dict[str, str]:
    """That of this process: each has its share of the threads, finds the same modules, and knows the storage's password."""
    import torch

    share = str(max(1, torch.get_num_threads() // count))
    made = {**os.environ, "OMP_NUM_THREADS": share, "MKL_NUM_THREADS": share, "OPENBLAS_NUM_THREADS": share}
    made["PYTHONPATH"] = os.pathsep.join(str(Path(place or ".").absolute()) for place in sys.path)
    kept = studies.read_place(run.folder, None).storage
    if run.storage is not None:
        made[STORAGE_VARIABLE] = run.storage
    elif kept is None or lasting(made.get(STORAGE_VARIABLE, "")) != kept:
        made.pop(STORAGE_VARIABLE, None)  # it is of another search
    return made


def ending(code: int) -> str:
    """What ended a process, by its exit code."""
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"{name}{', as the system does where memory is short' if -code == signal.SIGKILL else ''}"


def said_last(log: Path) -> str:
    """The last line that a process said; a sentence."""
    lines = log.read_text(errors="replace").strip().splitlines() if log.is_file() else []
    last = without_password(lines[-1].removeprefix("oncefit: "))[-SHOWN:] if lines else ""
    return last if last.endswith(".") else f"{last or 'it said nothing'}."
