"""Rows of figures as CSV, in which no name is a formula for a spreadsheet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence

from supernet.printable import printable

BEGINS_FORMULA = ("=", "+", "-", "@", "\t")
"""Spreadsheets compute a cell that begins with one of them, and a formula may run a program."""
NUMBER = re.compile(r"[-+]?(\d[\d.]*(e[-+]?\d+)?)?", re.IGNORECASE)
"""Or a mere sign."""


def csv_text(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows as CSV, with every column that one of them has; what a row lacks is empty.

    Written without pandas, whose import takes longer than all the rest of a predicted search's end.
    """
    columns = dict.fromkeys(name for row in rows for name in row)
    return csv_lines([list(columns), *([row.get(name) for name in columns] for row in rows)])


def csv_lines(rows: Iterable[Sequence[object]]) -> str:
    """Cells as CSV. A text that a spreadsheet would compute has an apostrophe before it; numbers are as they are."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([inert(cell) for cell in row] for row in rows)
    return text.getvalue()


def inert(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    shown = printable(cell)
    return f"'{shown}" if shown.startswith(BEGINS_FORMULA) and not NUMBER.fullmatch(shown) else shown
