"""What a benchmark has measured so far: one JSON file, to which each row is added as soon as it is known."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Callable, Iterable
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cost_models import profiling
from supernet import documents

OUT = Path(__file__).parents[1] / "runs" / "benchmarks"
PACKAGES = ("numpy", "scipy", "torch", "ofa", "optuna", "pymoo", "moocore")

Row = dict[str, Any]


class Results:
    """Rows by what was run: what is there is not run again.

    ``again`` names peers whose rows are dropped first; ``fresh`` drops all.
    """

    def __init__(self, name: str, fresh: bool = False, again: Iterable[str] = (), out: Path = OUT) -> None:
        self.file = out / f"{name}.json"
        there = [] if fresh or not self.file.exists() else read(self.file)["rows"]
        again = set(again)
        self.rows: list[Row] = [row for row in there if row["peer"] not in again]

    def row(self, run: Callable[[], Row], **key: object) -> Row:
        """The row of a key, or what ``run`` measures now, which is written at once."""
        for row in self.rows:
            if all(row.get(name) == value for name, value in key.items()):
                return row
        made = {**key, **run(), "date": date.today().isoformat()}
        self.rows.append(made)
        text = json.dumps({"machine": machine(), "rows": self.rows}, indent=1)
        documents.write_text(self.file, text + "\n")
        return made


def read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def machine() -> dict[str, Any]:
    """Processor, cores that this process may use, and the versions that figures depend on."""
    versions = {"python": profiling.versions()["python"]}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {"cpu": profiling.cpu_name(), "cores": len(os.sched_getaffinity(0)), "versions": versions}


def spread(values: Iterable[float], form: str) -> str:
    """Median and, in brackets, least and greatest."""
    known = sorted(values)
    if not known:
        return "-"
    middle = format(statistics.median(known), form)
    if len(known) == 1:
        return middle
    return f"{middle} [{known[0]:{form}}, {known[-1]:{form}}]"
