"""A process of a search whose accuracies cost nothing; it writes down each arch that it was asked about.

python -m tests.helpers.free_search FOLDER SAMPLER TRIALS STORAGE

STORAGE is a URL, ``folder`` for SQLite in the run folder, or ``journal`` for a journal file beside it. Archs in
FOLDER.enqueue, as JSON, are evaluated first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from pathlib import Path

from search.runs.config import RunConfig
from search.runs.opening import make_run
from search.runs.run import Run
from search.runs.trials import search
from supernet.accuracy import OwnAccuracy
from supernet.archs.arch import Arch
from supernet.families.catalog import open_supernet
from tests.helpers.paths import ROOT

BUDGETS = {"macs": 3e6}
IMAGES = 5000


class FreeRun(Run):
    """A run whose accuracies are made up from the arch."""

    def judge(self, arch: Arch) -> OwnAccuracy:
        with self.folder.with_suffix(".judged").open("a") as file:
            file.write(f"{arch.id} {os.getpid()}\n")
        hits = int(3000 + self.costs["macs"](arch) ** 0.5 + int(arch.id[:2], 16) % 50)
        return OwnAccuracy(hits / IMAGES)


def free_run(folder: Path, sampler: str, trials: int, storage: str) -> FreeRun:
    first = folder.with_suffix(".enqueue")
    enqueue = json.loads(first.read_text()) if first.exists() else []
    config = RunConfig(
        supernet="fmnist_mbv3", budgets=BUDGETS, trials=trials, sampler=sampler, accuracy="own",
        enqueue=tuple(enqueue),
    )  # fmt: skip
    beside = f"journal:///{folder.absolute()}.journal"
    url = {"folder": None, "journal": beside}.get(storage, storage)
    made = make_run(folder, config, open_supernet(config.supernet), None, url)
    return FreeRun(**{field.name: getattr(made, field.name) for field in fields(made)})


def judged(folder: Path) -> Counter[str]:
    """How often each arch was judged, in all processes."""
    lines = folder.with_suffix(".judged").read_text().splitlines()
    return Counter(line.split()[0] for line in lines)


def at_once(folder: Path, sampler: str, trials: int, storage: str, processes: int) -> None:
    """Search in so many processes at once, and see that each ends well."""
    command = [sys.executable, "-m", "tests.helpers.free_search", str(folder), sampler, str(trials), storage]
    started = [
        subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    said = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0] * processes, "\n".join(said)


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """The machine, kept busy by so many processes that do nothing else."""
    with ExitStack() as stack:
        for _ in range(processes):
            process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield


def main(arguments: Iterable[str]) -> None:
    folder, sampler, trials, storage = arguments
    search(free_run(Path(folder), sampler, int(trials), storage), lambda progress: None)


if __name__ == "__main__":
    main(sys.argv[1:])
