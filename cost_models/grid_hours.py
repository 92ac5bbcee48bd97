"""Carbon intensity hour by hour, and when to do work that may wait: the window with the lowest mean.

The CSV has the columns ``hour`` and ``grams_per_kwh``, a row for each hour without a gap. An hour is a whole number
(0, 1, 2, ...) or a time as 2026-03-01T17:00, and both are hours of one zone.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from pathlib import Path

from supernet import documents
from supernet.errors import InputError, short

HOUR, GRAMS = "hour", "grams_per_kwh"
LONGEST_HOUR = 9
"""Digits of the number of an hour: a hundred thousand years."""


@dataclass(frozen=True)
class Hourly:
    """Grams of CO2e per kilowatt-hour of consecutive hours, with what each hour is called."""

    hours: tuple[str, ...]
    grams_per_kwh: tuple[float, ...]


@dataclass(frozen=True)
class Window:
    """Work that begins with an hour: the mean intensity while it runs, in grams of CO2e per kilowatt-hour."""

    start: str
    grams_per_kwh: float


@dataclass(frozen=True)
class Schedule:
    """When to begin, held against beginning with the first hour, and against the mean and the worst of all starts."""

    best: Window
    first: Window
    worst: Window
    mean_grams_per_kwh: float

    def saved_share(self, than: float) -> float:
        """Which share of the emissions is saved, held against a mean intensity."""
        return 1 - self.best.grams_per_kwh / than if than > 0 else 0.0


def schedule(series: Hourly, job_hours: float) -> Schedule:
    """When to start a job of ``job_hours`` that draws the same power all the time; of equal starts the first.

    It starts on the hour; of its last hour it takes the part that it needs. Raises InputError for a job that is
    longer than the series.
    """
    found = windows(series, job_hours)
    best = min(found, key=lambda window: window.grams_per_kwh)
    worst = max(found, key=lambda window: window.grams_per_kwh)
    mean = sum(window.grams_per_kwh for window in found) / len(found)
    return Schedule(best, found[0], worst, mean)


def windows(series: Hourly, job_hours: float) -> list[Window]:
    """Every window of the job that ends within the series, by its start."""
    if not 0 < job_hours <= len(series.hours):
        raise InputError(
            f"a job of {job_hours:g} hours does not fit into {len(series.hours)} hours of intensities; "
            "give fewer --hours, or a longer file"
        )
    grams = series.grams_per_kwh
    whole = math.floor(job_hours)
    part = job_hours - whole
    until = [0.0, *accumulate(grams)]
    ends = len(grams) - math.ceil(job_hours)
    return [
        Window(
            series.hours[i],
            (until[i + whole] - until[i] + (part * grams[i + whole] if part else 0.0)) / job_hours,
        )
        for i in range(ends + 1)
    ]


def window_at(series: Hourly, job_hours: float, start: str) -> Window:
    """The window that begins with an hour. Raises InputError where the job does not end within the series."""
    found = {window.start: window for window in windows(series, job_hours)}
    if start not in found:
        raise InputError(
            f"a job of {job_hours:g} hours cannot start at {start!r}; starts are {series.hours[0]} to "
            f"{list(found)[-1]}, written as in the file"
        )
    return found[start]


def read_hourly(path: Path) -> Hourly:
    """The series in a CSV. Raises InputError that names the line for anything else than consecutive hours."""
    lines = documents.text_of(path, "CSV").splitlines()
    try:
        rows = list(csv.reader(lines))
    except csv.Error as error:
        raise InputError(f"{path} is not a CSV file: {error}") from error
    if not rows or sorted(cell.strip() for cell in rows[0]) != sorted((HOUR, GRAMS)):
        got = ",".join(rows[0]) if rows else ""
        raise InputError(f"{path}: the first line must be {HOUR},{GRAMS}, got {short(got)}")
    at = {cell.strip(): place for place, cell in enumerate(rows[0])}
    body = [(number, row) for number, row in enumerate(rows[1:], 2) if row]
    for number, row in body:
        if len(row) != len(at):
            raise InputError(f"{path}, line {number}: {len(row)} values, and there must be {len(at)}")
    if not body:
        raise InputError(f"{path} has no hours; a row is an hour and its grams of CO2e per kWh")
    hours = [row[at[HOUR]].strip() for _, row in body]
    check_consecutive(hours, [number for number, _ in body], path)
    return Hourly(tuple(hours), tuple(grams_of(row[at[GRAMS]], number, path) for number, row in body))


def grams_of(text: str, number: int, path: Path) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found < math.inf:
        raise InputError(
            f"{path}, line {number}: {short(text)} is no intensity; it is a number of grams, 0 or more"
        )
    return found


def check_consecutive(hours: Sequence[str], numbers: Sequence[int], path: Path) -> None:
    """Raises InputError for hours that cannot be read, and for one that does not follow on the one before it."""
    before: int | datetime | None = None
    for text, number in zip(hours, numbers, strict=True):
        now = hour_of(text, f"{path}, line {number}")
        if before is not None and not follows(before, now):
            raise InputError(
                f"{path}, line {number}: hour {text} does not follow on {hours[numbers.index(number) - 1]}; "
                "each row is the next hour, without gaps"
            )
        before = now


def hour_of(text: str, where: str) -> int | datetime:
    if text.isdecimal() and len(text) <= LONGEST_HOUR:
        return int(text)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise InputError(
            f"{where}: {short(text)} is no hour; write 0, 1, 2, ... or times as 2026-03-01T17:00"
        ) from None


def follows(before: int | datetime, now: int | datetime) -> bool:
    if isinstance(before, int) or isinstance(now, int):
        return isinstance(before, int) and isinstance(now, int) and now == before + 1
    if (before.tzinfo is None) != (now.tzinfo is None):
        return False
    return now - before == timedelta(hours=1)
