"""What a trial costs each storage: questions, commits, waits for the disk and bytes, early and late in a study.

    python benchmarks/storages.py [--storages NAME...] [--trials N] [--workers N]

Accuracies are predicted by a drawn network, so that little else takes time. A figure of the last quarter that is that of
the first says that a trial is read and written once, however many there are. With ``--workers`` so many processes share
the study, and only seconds are told.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import event
from sqlalchemy.engine import Engine

import oncefit
from search.runs.run import Progress
from supernet.families.catalog import open_supernet

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.helpers.own_predictor import write_mlp
from tests.helpers.postgresql import running_server

NAMES = ("sqlite", "journal", "postgresql")
QUARTERS = 4
SETTINGS = {
    "supernet": "fmnist_mbv3", "accuracy": "predicted", "predictor": "drawn.safetensors", "budgets": {"macs": 3e6},
    "objectives": ["top1", "macs"], "sampler": "random",
}  # fmt: skip

counts: Counter[str] = Counter()


def count() -> None:
    """From now on what this process asks of databases, and how often it waits for the disk."""
    for name, what in (("before_cursor_execute", "questions"), ("commit", "commits")):
        event.listen(Engine, name, lambda *_, what=what: counts.update([what]))
    wait = os.fsync

    def waiting(file: int) -> None:
        counts["waits"] += 1
        wait(file)

    os.fsync = waiting


@contextmanager
def overheard(url: str, folder: Path) -> Iterator[str]:
    """The URL of a server's socket with another one before it, which counts what passes."""
    behind = url.rpartition("=")[2] + "/.s.PGSQL.5432"
    front = socket.socket(socket.AF_UNIX)
    front.bind(str(folder / ".s.PGSQL.5432"))
    front.listen()

    def passing(source: socket.socket, to: socket.socket, way: str) -> None:
        while content := source.recv(65536):
            counts[way] += len(content)
            to.sendall(content)
        to.shutdown(socket.SHUT_WR)

    def serving() -> None:
        while True:
            client, server = front.accept()[0], socket.socket(socket.AF_UNIX)
            server.connect(behind)
            for one in ((client, server, "sent"), (server, client, "received")):
                threading.Thread(target=passing, args=one, daemon=True).start()

    threading.Thread(target=serving, daemon=True).start()
    yield url.rpartition("=")[0] + f"={folder}"


def state() -> Counter[str]:
    """All that is counted so far; bytes are those of files, and those that pass to and from a server."""
    read = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    bytes_of = {
        "read": counts["received"] or int(read["rchar"]),
        "written": counts["sent"] or int(read["wchar"]),
    }
    return Counter({**counts, **bytes_of, "us": round(time.monotonic() * 1e6)})


def measured(name: str, trials: int, folder: Path, url: str | None, workers: int) -> None:
    write_mlp(open_supernet("fmnist_mbv3"), folder / "drawn.safetensors")
    (folder / "mine.yaml").write_text(json.dumps({**SETTINGS, "trials": trials}))
    storage = str(folder / "study.journal") if name == "journal" else url
    marks: list[Counter[str]] = []

    def mark(progress: Progress) -> None:
        if progress.trials * QUARTERS >= len(marks) * trials:
            marks.append(state())

    oncefit.search(
        config=folder / "mine.yaml", out=folder / "run", storage=storage, workers=workers, progress=mark,
        say=lambda _: None,
    )  # fmt: skip
    if workers > 1:
        print(f"{name}, {trials} trials, {workers} workers: {(marks[-1]['us'] - marks[0]['us']) / 1e6:.0f} s")
        return
    for part, first, last in (("first quarter", *marks[:2]), ("last quarter", *marks[-2:])):
        each = {key: (last[key] - first[key]) * QUARTERS / trials for key in last}
        print(
            f"{name}, {part} of {trials}: {each['us'] / 1000:.0f} ms a trial, {each.get('questions', 0):.0f} questions, "
            f"{each.get('commits', 0):.0f} commits, {each.get('waits', 0):.0f} waits for the disk, "
            f"{each['read'] / 1000:.1f} kB read and {each['written'] / 1000:.1f} kB written"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--storages", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    count()
    for name in given.storages:
        with ExitStack() as opened:
            folder, url = Path(opened.enter_context(tempfile.TemporaryDirectory())), None
            if name == "postgresql":
                server = opened.enter_context(running_server())
                url = opened.enter_context(overheard(server.url, folder))
            measured(name, given.trials, folder, url, given.workers)


if __name__ == "__main__":
    main()
