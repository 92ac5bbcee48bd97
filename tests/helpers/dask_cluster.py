"""A Dask cluster of one's own: a scheduler and workers, each a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

READY_S = 120.0


class DaskCluster:
    """Processes that log into a folder; ``executor`` is what oncefit is told of it."""

    def __init__(self, folder: Path, environment: Mapping[str, str] = {}) -> None:
        self._folder, self._environment = folder, environment
        (folder / "without" / "search").mkdir(parents=True)
        absent = "raise ModuleNotFoundError(\"No module named 'search'\")\n"  # an editable install would find its modules
        (folder / "without" / "search" / "__init__.py").write_text(absent)
        self.without = {"PYTHONPATH": str(folder / "without")}
        """An environment that has no oncefit, as a scheduler's need not."""
        self.workers: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._started(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", "scheduler.json", "--no-dashboard",
            environment=self.without,
        )  # fmt: skip
        self.address = self._address()
        self.executor = f"dask://{self.address}"

    def add(self, count: int, *arguments: str, environment: Mapping[str, str] = {}) -> None:
        """So many workers, each of one thread."""
        self.workers += [
            self._started(
                "worker", f"tcp://{self.address}", "--nthreads", "1", "--no-nanny", "--no-dashboard",
                "--local-directory", f"worker-{len(self.workers) + place}", *arguments, environment=environment,
            )
            for place in range(count)
        ]  # fmt: skip

    def kill(self, place: int) -> None:
        self.workers[place].kill()
        self.workers[place].wait()

    def stop(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()

    def _started(
        self, kind: str, *arguments: str, environment: Mapping[str, str] = {}
    ) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", kind, *arguments]
        with (self._folder / f"{kind}.log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self._folder,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environment, **environment},
            )

    def _address(self) -> str:
        file, began = self._folder / "scheduler.json", time.monotonic()
        while time.monotonic() - began < READY_S:
            if file.is_file() and (text := file.read_text()):
                return str(json.loads(text)["address"]).removeprefix("tcp://")
            assert self.scheduler.poll() is None, (self._folder / "scheduler.log").read_text()
            time.sleep(0.05)
        raise AssertionError("the scheduler did not start")


@contextmanager
def running_cluster(folder: Path, workers: int, environment: Mapping[str, str] = {}) -> Iterator[DaskCluster]:
    """A new cluster; ``environment`` is added to that of its processes."""
    folder.mkdir()
    made = DaskCluster(folder, environment)
    try:
        made.add(workers)
        yield made
    finally:
        made.stop()
