"""The files of a portfolio."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from search.reports.csv_text import csv_text
from search.reports.figures.plots import save_figure
from search.reports.portfolio import ToldPortfolio, curve_rows, device_rows, portfolio_dict
from search.reports.portfolio_figure import portfolio_figure
from supernet import documents

if TYPE_CHECKING:
    pass


PORTFOLIO_CSV, CURVE_CSV, PORTFOLIO_PNG, PORTFOLIO_JSON = (
    "portfolio.csv", "portfolio-curve.csv", "portfolio.png", "portfolio.json",
)  # fmt: skip


def write_portfolio(told: ToldPortfolio, folder: Path) -> list[Path]:
    """Write the four files; returns their paths."""
    table, curve, png, js = (
        folder / name for name in (PORTFOLIO_CSV, CURVE_CSV, PORTFOLIO_PNG, PORTFOLIO_JSON)
    )
    documents.write_text(table, csv_text(device_rows(told)))
    documents.write_text(curve, csv_text(curve_rows(told)))
    documents.write_text(js, json.dumps(portfolio_dict(told), indent=2) + "\n")
    save_figure(portfolio_figure(told), png)
    return [table, curve, png, js]
