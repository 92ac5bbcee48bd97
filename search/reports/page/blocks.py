"""What a page is made of: sections of words, figures, tables, charts and commands. All text in them is plain, not HTML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from search.reports.words import INTERVAL, INTERVALS, Lines

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

PlotlyFigure = Mapping[str, Any]
"""What Plotly draws: ``data`` and ``layout``, as its JSON has them. Text in it was escaped by :func:`in_chart`."""

LEADING_NUMBER = re.compile(r"[-+−]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")


@dataclass(frozen=True)
class Words:
    """Paragraphs; those that must not be overlooked are ``loud``."""

    paragraphs: Sequence[str]
    loud: bool = False
    kind: str = "words"


@dataclass(frozen=True)
class Tile:
    """One figure to see first: how it is called, the figure with its unit, and what is to be known of it."""

    label: str
    figure: str
    note: str = ""


@dataclass(frozen=True)
class Tiles:
    tiles: Sequence[Tile]
    kind: str = "tiles"


@dataclass(frozen=True)
class Grid:
    """A table; the first cell of a row is its heading. ``marked`` are the places of rows that stand out.

    One that is ``wide`` keeps each cell on a line, and is moved sideways.
    """

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    sortable: bool = False
    marked: frozenset[int] = frozenset()
    wide: bool = False
    kind: str = "grid"


@dataclass(frozen=True)
class Axis:
    """Another horizontal axis of a chart: its title, the values of each trace, which traces are lines, and the budget.

    ``range`` is what is shown of it at first, all where that is None.
    """

    title: str
    x: Sequence[Sequence[float]]
    budget: float | None = None
    lines: bool = True
    range: tuple[float, float] | None = None


@dataclass(frozen=True)
class Chart:
    """A picture; ``told`` says in words what it shows. ``axes`` are to choose from, the first is drawn."""

    name: str
    title: str
    figure: PlotlyFigure
    told: str
    axes: Sequence[Axis] = ()
    kind: str = "chart"


@dataclass(frozen=True)
class Code:
    """What is to be typed, or a file as it stands; a long one is ``folded``."""

    title: str
    text: str
    folded: bool = False
    kind: str = "code"


PageBlock = Words | Tiles | Grid | Chart | Code


@dataclass(frozen=True)
class Section:
    """Part of a page; ``name`` is what links lead to."""

    name: str
    title: str
    blocks: Sequence[PageBlock]


@dataclass(frozen=True)
class Page:
    title: str
    subtitle: str
    sections: Sequence[Section]
    footer: Sequence[str] = field(default=())

    @property
    def charts(self) -> list[Chart]:
        return [block for section in self.sections for block in section.blocks if isinstance(block, Chart)]


def of_lines(title: str, sections: Sequence[Lines], note: str = "") -> Grid:
    """A table of names and figures."""
    return Grid(title, (), [row for rows in sections for row in rows], note)


def brackets_told(lines: Iterable[Sequence[str]]) -> str:
    """What stands in brackets in figures, each with its name before it; empty where nothing does."""
    bracketed = [name for name, *figures in lines if any("[" in figure for figure in figures)]
    if any(name.startswith("latency") for name in bracketed):
        return INTERVALS
    return INTERVAL if bracketed else ""


def of_table(table: Table, title: str | None = None, note: str | None = None, sortable: bool = False) -> Grid:
    """A table for the terminal as one of a page, so that both tell the same."""
    columns = [[plain_text(cell) for cell in column.cells] for column in table.columns]
    headings = [plain_text(column.header) for column in table.columns] if table.show_header else []
    found_title = plain_text(table.title) if table.title else ""
    found_note = plain_text(table.caption) if table.caption else ""
    return Grid(
        title if title is not None else found_title,
        headings if any(headings) else (),
        list(zip(*columns, strict=True)),
        note if note is not None else found_note,
        sortable,
    )


def plain_text(found: RenderableType) -> str:
    """The text of a cell, on one line."""
    return " ".join(str(found).split())


def sort_key(figure: str) -> str:
    """The number that a figure begins with, by which its column is sorted; empty where there is none."""
    found = LEADING_NUMBER.match(figure.strip())
    return found[0].replace(",", "").replace("−", "-") if found else ""


def in_chart(text: str) -> str:
    """Text for Plotly, which takes some tags in it for markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
