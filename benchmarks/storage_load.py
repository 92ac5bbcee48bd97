"""What a PostgreSQL server has to do for a trial, and how many trials a second it serves here.

    python benchmarks/storage_load.py [--workers 1 2 4] [--trials 100]

Workers are processes that search with the random sampler in one study and whose accuracies cost nothing, so that they ask
the server as fast as they can. All of them, and the server, share this machine's cores: the server's processor time a trial says
what a core of its own would serve. Bytes are counted by a relay between one more worker and the server. Rows go to
runs/benchmarks/storage_load.json.
"""

from __future__ import annotations

import argparse
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from results import Results, Row

from tests.helpers.free_search import at_once
from tests.helpers.postgresql import Server, running_server
from tests.helpers.study_tables import asked

NAME = "storage_load"
SOCKET = ".s.PGSQL.5432"
TRANSACTIONS = "select xact_commit + xact_rollback from pg_stat_database where datname = 'postgres'"


def server_seconds(server: Server) -> float:
    """Processor seconds of the server's processes that have ended: a connection has one."""
    assert server._process is not None
    fields = Path(f"/proc/{server._process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def counting(server: Server) -> Iterator[tuple[str, list[int]]]:
    """A URL that leads to the server through here, and how many bytes went there and came back."""
    counts = [0, 0]
    with tempfile.TemporaryDirectory(prefix="pg") as folder, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{folder}/{SOCKET}")
        listening.listen()

        def forward(source: socket.socket, to: socket.socket, direction: int) -> None:
            with suppress(OSError):
                while data := source.recv(1 << 16):
                    counts[direction] += len(data)
                    to.sendall(data)
                to.shutdown(socket.SHUT_WR)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listening.accept()
                    behind = socket.socket(socket.AF_UNIX)
                    behind.connect(f"{server._folder}/{SOCKET}")
                    for way in ((client, behind, 0), (behind, client, 1)):
                        threading.Thread(target=forward, args=way, daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield server.url.replace(str(server._folder), folder), counts
        listening.shutdown(socket.SHUT_RDWR)


def searched(server: Server, url: str, folder: Path, workers: int, trials: int) -> Row:
    made, busy, began = asked(server.url, TRANSACTIONS)[0][0], server_seconds(server), time.perf_counter()
    at_once(folder, "random", trials, url, workers)
    seconds = time.perf_counter() - began
    time.sleep(1)  # the server counts what has ended a little later
    transactions = asked(server.url, TRANSACTIONS)[0][0] - made
    return {
        "seconds": seconds, "transactions_a_trial": transactions / trials, "trials_a_second": trials / seconds,
        "server_ms_a_trial": 1e3 * (server_seconds(server) - busy) / trials,
    }  # fmt: skip


def measure(workers: int, trials: int) -> Row:
    with running_server() as server, tempfile.TemporaryDirectory() as folder:
        searched(server, server.url, Path(folder) / "first", 1, 2)  # which makes the tables
        return searched(server, server.url, Path(folder) / "run", workers, trials)


def bytes_of_a_trial(trials: int) -> Row:
    """The difference of two runs, so that what a process asks once is not in it."""
    sums = []
    for count in (trials // 2, trials):
        with (
            running_server() as server, tempfile.TemporaryDirectory() as folder, counting(server) as (url, counts),
        ):  # fmt: skip
            at_once(Path(folder) / "run", "random", count, url, 1)
            sums.append(list(counts))
    made = trials - trials // 2
    there, back = ((after - before) / made for before, after in zip(*sums, strict=True))
    return {"bytes_written": there, "bytes_read": back}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", nargs="+", type=int, default=(1, 2, 4, 8))
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--fresh", action="store_true", help="forget the rows that are there")
    given = parser.parse_args()
    results = Results(NAME, given.fresh)
    for workers in given.workers:
        row = results.row(lambda n=workers: measure(n, given.trials), peer=workers, trials=given.trials)  # type: ignore[misc]
        print(f"{workers} workers: {row['trials_a_second']:.1f} trials a second; of the server {row['server_ms_a_trial']:.1f} ms of "
              f"processor and {row['transactions_a_trial']:.0f} transactions a trial", flush=True)  # fmt: skip
    row = results.row(lambda: bytes_of_a_trial(given.trials), peer="bytes", trials=given.trials)
    print(f"a trial sends {row['bytes_written']:,.0f} bytes to the server and gets {row['bytes_read']:,.0f}")


if __name__ == "__main__":
    main()
