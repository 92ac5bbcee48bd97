"""Rows as CSV: what another reader takes from it, and what pandas writes."""

from __future__ import annotations

import csv

import pandas as pd

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
