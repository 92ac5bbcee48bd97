"""Top-1 as people write it into tables: in which unit a column is, and which of its entries are none.

The unit is decided by the range of the whole column, not by its heading: ``ofa`` and DyNAS-T write
percent, others fractions under the same heading.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from supernet.arrays import Floats
from supernet.errors import InputError

PERCENT = "Top-1 Acc (%)"
FRACTIONS = ("validation_top1", "top1")
COLUMNS = (*FRACTIONS, PERCENT)
"""Columns of top-1; the first that has an entry counts."""
RANGE = "top-1 is a number above 0, of at most 1 as a fraction or of at most 100 in percent"
LISTED = 10
"""So many rows of a kind are named in an error."""
ENOUGH = 10
"""With fewer rows nothing is an outlier."""
FAR, DEVIATIONS = 0.3, 10
"""An outlier is further from the median than so much top-1, and than so many deviations of the others."""
TO_DEVIATIONS = 1.4826
"""From the median distance of a normal distribution's values to their standard deviation."""


@dataclass(frozen=True)
class Entry:
    """What one row says of its top-1."""

    line: int
    column: str
    text: str

    @property
    def value(self) -> float:
        """In the unit of its column; NaN where it is no number."""
        try:
            return float(self.text)
        except ValueError:
            return math.nan


def entry_of(row: Mapping[str, str | None], line: int) -> Entry:
    """The entry of a row of a CSV file."""
    column = next((name for name in COLUMNS if row.get(name)), None)
    known = column or next((name for name in COLUMNS if name in row), PERCENT)
    return Entry(line, known, row.get(known) or "")


def fractions(entries: Sequence[Entry], file: str, say: Callable[[str], None]) -> Floats:
    """Top-1 as fractions, shape (n,); ``say`` gets the unit of each column.

    Raises InputError that names the rows for what is no top-1, was not measured, is in another
    unit than the rest of its column, or is an outlier.
    """
    found = np.empty(len(entries))
    for column in dict.fromkeys(entry.column for entry in entries):
        rows = [i for i, entry in enumerate(entries) if entry.column == column]
        found[rows] = of_column([entries[i] for i in rows], file, say)
    return found


def of_column(entries: Sequence[Entry], file: str, say: Callable[[str], None]) -> Floats:
    """The same for entries of one column."""
    values = np.array([entry.value for entry in entries])
    refuse(entries, ~np.isfinite(values) | (values > 100), file, RANGE)
    refuse(
        entries, values <= 0, file,
        "that stands for a subnet that was not measured; take these rows out, or measure them",
    )  # fmt: skip
    percent, small = bool(values.max() > 1), values <= 1
    if percent:
        few = small if 2 * small.sum() <= len(values) else ~small
        refuse(
            entries, few if small.any() else small, file,
            f"that is not in the unit of the other rows, of which one holds {entries[int(np.argmin(few))].text}; "
            "write all in percent or all as fractions",
        )  # fmt: skip
    scaled = values / 100 if percent else values
    refuse_outliers(entries, scaled, file)
    say(unit_in_words(entries[0].column, values, percent, file))
    return scaled


def refuse_outliers(entries: Sequence[Entry], top1: Floats, file: str) -> None:
    """Raises InputError for rows that are too far from all others to be of subnets of the same supernet."""
    if len(entries) < ENOUGH:
        return
    middle = float(np.median(top1))
    off = np.abs(top1 - middle)
    allowed = max(FAR, DEVIATIONS * TO_DEVIATIONS * float(np.median(off)))
    refuse(
        entries, off > allowed, file,
        f"that is over {100 * allowed:.0f} points from the median of the column, {100 * middle:.1f} %: an outlier; "
        "correct these rows, measure them again, or take them out",
    )  # fmt: skip


def refuse(entries: Sequence[Entry], wrong: Sequence[bool] | np.ndarray, file: str, why: str) -> None:
    """Raises InputError that names the rows for which ``wrong`` is true, if there are any."""
    bad = [entry for entry, is_wrong in zip(entries, wrong, strict=True) if is_wrong]
    if not bad:
        return
    lines = [str(entry.line) for entry in bad]
    named = ", ".join(lines[:LISTED]) + (f" and {len(lines) - LISTED} more" if len(lines) > LISTED else "")
    texts = list(dict.fromkeys(repr(entry.text) for entry in bad))
    got = ", ".join(texts[:3]) + (", ..." if len(texts) > 3 else "")
    raise InputError(
        f"{file}, line{'s' if len(bad) > 1 else ''} {named}: column {bad[0].column}: got {got}; {why}"
    )


def unit_in_words(column: str, values: Floats, percent: bool, file: str) -> str:
    low, high = float(values.min()), float(values.max())
    unit = "in percent" if percent else "as fractions"
    expected = percent == (column == PERCENT)
    return (
        f"{file}: top-1 in column {column} is read {unit}, {low:g} to {high:g}"
        + ("" if expected else ", by its range and not by its heading")
    )  # fmt: skip
