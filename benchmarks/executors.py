"""What Dask and Ray cost before anything is measured: seconds until four workers answer, and for a task, and memory.

    python benchmarks/executors.py dask|ray

In an environment that has the one that is asked for: ``pip install distributed``, or ``pip install 'ray[default]'``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WORKERS, SINGLE, TOGETHER = 4, 200, 2000

Ask = Callable[[list[int]], list[Any]]


def same(number: int) -> int:
    return number


def with_dask() -> tuple[Ask, Callable[[], object]]:
    from distributed import Client, LocalCluster

    cluster = LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None)
    client = Client(cluster)
    client.wait_for_workers(WORKERS)
    ask = lambda numbers: client.gather(client.map(same, numbers, pure=False))  # noqa: E731
    return ask, lambda: (client.close(), cluster.close())


def with_ray() -> tuple[Ask, Callable[[], object]]:
    import ray

    ray.init(num_cpus=WORKERS, include_dashboard=False, logging_level="ERROR")
    remote = ray.remote(same)
    ask = lambda numbers: ray.get([remote.remote(number) for number in numbers])  # noqa: E731
    ask(list(range(10 * WORKERS)))  # its workers begin with the first tasks
    return ask, ray.shutdown


def descendants(pid: int) -> list[int]:
    found = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, thread.read_text().split()):
            found += [child, *descendants(child)]
    return found


def resident_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=("dask", "ray"))
    name = parser.parse_args().name
    began = time.perf_counter()
    ask, stop = {"dask": with_dask, "ray": with_ray}[name]()
    assert ask([7]) == [7]
    started = time.perf_counter() - began
    single = []
    for number in range(SINGLE):
        began = time.perf_counter()
        ask([number])
        single.append(time.perf_counter() - began)
    began = time.perf_counter()
    assert ask(list(range(TOGETHER))) == list(range(TOGETHER))
    together = time.perf_counter() - began
    sizes = [resident_mb(pid) for pid in descendants(os.getpid())]
    stop()
    print(
        f"{name}: {started:.1f} s until {WORKERS} workers answer; {1000 * statistics.median(single):.1f} ms for one task after "
        f"the other, {1000 * together / TOGETHER:.2f} ms each of {TOGETHER:,}; {len(sizes)} processes of {sum(sizes):.0f} MB"
    )


if __name__ == "__main__":
    main()
