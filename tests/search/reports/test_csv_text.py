"""Rows as CSV: what another reader takes from it, and what pandas writes."""

from __future__ import annotations

import csv
import io
import math

import pandas as pd
import pytest

from search.reports.csv_text import csv_text

ROWS = [
    {"run": "a, b", "top1": 0.1 + 0.2, "macs": 3_000_000},
    {"run": 'of "c"', "top1": None, "macs": 4, "latency_ms": 1e-7},
]


def test_rows_come_back_with_every_column_and_all_digits() -> None:
    first, second = csv.DictReader(csv_text(ROWS).splitlines())
    assert list(first) == ["run", "top1", "macs", "latency_ms"]
    assert first == {"run": "a, b", "top1": str(0.1 + 0.2), "macs": "3000000", "latency_ms": ""}
    assert second == {"run": 'of "c"', "top1": "", "macs": "4", "latency_ms": "1e-07"}


def test_it_is_the_text_that_pandas_writes() -> None:
    assert csv_text(ROWS) == pd.DataFrame(ROWS).to_csv(index=False)


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "-x", "-1e5e6"])
def test_no_name_is_a_formula(name: str) -> None:
    """As spreadsheets read it; figures stay figures."""
    [row] = csv.DictReader(io.StringIO(csv_text([{"name": name, name: -1.5, "least": -math.inf}])))
    assert row == {"name": f"'{name}", f"'{name}": "-1.5", "least": "-inf"}


def test_no_name_steers_a_terminal() -> None:
    assert csv_text([{"a": "\x1b[31m", "b": "two\nlines", "c": "-", "d": "-1.5e-6"}]) == (
        'a,b,c,d\n\\x1b[31m,"two\nlines",-,-1.5e-6\n'
    )
