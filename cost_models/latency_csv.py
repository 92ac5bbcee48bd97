"""Measured latencies of whole networks in a CSV file: a row for each subnet, a column for each device.

Which columns name the subnet is told by the heading, the first form that fits:

- ``d``, ``ks``, ``e`` and ``r`` (or ``image_size``, ``resolution``; ``w`` for a ResNet): numbers between blanks,
  commas or brackets, as in ``2 2 3 4 4``, what ``ofa`` calls settings. ``r`` is the side in pixels, or the index of a
  resolution of the space where the whole column is below their number and not all of it are resolutions.
- a column of dicts, in any encoding of :mod:`supernet.ofa_format.reader`, as JSON or as Python prints them:
  ``arch``, ``Sub-network``, or whichever column holds nothing else.
- a column for each dimension of the space, empty for skipped blocks, as in a run's ``front.csv``.

All other columns may be measurements, in milliseconds. A cell is empty where a subnet was not measured.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from supernet.archs.arch import Arch, Choice
from supernet.arrays import Floats
from supernet.documents import text_of
from supernet.errors import InputError, short, some, unknown
from supernet.families.catalog import Supernet
from supernet.ofa_format import files, reader, settings

DICTS = ("arch", "Sub-network", "subnet", "net_config", "config")
"""Columns that hold a dict, by their usual names; the first that is there counts."""
BETWEEN = re.compile(r"[\s,;\[\]()]+")
"""What stands between the numbers of a cell."""
LINES_LISTED = 10
"""So many lines are named in an error."""

Row = Mapping[str, str]


@dataclass(frozen=True)
class LatencyRows:
    """Subnets with what was measured of each; ``archs``, ``lines`` and every column have an entry a row.

    ``lines`` are those of the file. The same arch may stand in several rows.
    """

    file: str
    archs: tuple[Arch, ...]
    lines: tuple[int, ...]
    texts: Mapping[str, tuple[str, ...]]
    """All columns that do not name the subnet, as they are written."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that hold a number in their first row that is not empty."""
        return tuple(
            name
            for name, texts in self.texts.items()
            if not math.isnan(cell_number(next(filter(None, texts), "")))
        )

    def column(self, name: str) -> Floats:
        """Milliseconds by row, shape (rows,); NaN where a subnet was not measured.

        Raises InputError for an unknown column, an empty one, and what is no finite number above 0, by line.
        """
        if name not in self.texts:
            raise unknown(f"column of latencies in {self.file}", name, self.names)
        texts = self.texts[name]
        found = np.array([cell_number(text) if text else math.nan for text in texts])
        wrong = [i for i, text in enumerate(texts) if text and not (math.isfinite(found[i]) and found[i] > 0)]
        if wrong:
            raise InputError(
                f"{self.file}, {listed_lines([self.lines[i] for i in wrong])}: column {name}: got {texts[wrong[0]]!r}; "
                "a latency is a number of milliseconds above 0, and the cell of a subnet that was not measured is empty"
            )
        if not any(texts):
            raise InputError(f"{self.file}: column {name} is empty: it has no latency")
        return found


def read_latency_csv(path: Path, supernet: Supernet) -> LatencyRows:
    """The rows of a CSV file, whose subnets are of ``supernet`` (of all of it, whatever it is restricted to).

    Raises InputError that names file, lines, column and value.
    """
    columns, lines, rows = table_of(path)
    naming, archs = row_archs(columns, rows, lines, supernet, str(path))
    texts = {name: tuple(row[name] for row in rows) for name in columns if name not in naming}
    return LatencyRows(str(path), tuple(archs), tuple(lines), texts)


def table_of(path: Path) -> tuple[list[str], list[int], list[Row]]:
    """Names of the columns; the number of the line and the cells of each row."""
    try:
        table = csv.DictReader(io.StringIO(text_of(path, "CSV"), newline=""), strict=True)
        columns = [name.strip() for name in table.fieldnames or ()]
        table.fieldnames = columns
        found = [(table.line_num, row) for row in table]
    except csv.Error as error:
        raise InputError(f"{path} is not a CSV file: {error}") from error
    if twice := [name for name in dict.fromkeys(columns) if columns.count(name) > 1]:
        raise InputError(f"{path} has several columns called {some(map(repr, twice))}; rename or remove one")
    if not found:
        raise InputError(f"{path} has {'a heading but no rows' if columns else 'no heading and no rows'}")
    if ragged := [line for line, row in found if None in row or None in row.values()]:
        raise InputError(
            f"{path}, {listed_lines(ragged)}: another number of cells than the heading's {len(columns)}; "
            "a cell that holds commas stands between double quotes"
        )
    rows: list[Row] = [{str(name): str(text).strip() for name, text in row.items()} for _, row in found]
    return columns, [line for line, _ in found], rows


# -- the subnets -------------------------------------------------------------------


def row_archs(
    columns: Sequence[str], rows: Sequence[Row], lines: Sequence[int], supernet: Supernet, file: str
) -> tuple[Sequence[str], list[Arch]]:
    """The columns that name the subnet, and the arch of each row."""
    space = supernet.family.space
    data: list[dict[str, Any]]
    if {"d", "e"} <= set(columns):
        naming = [key for key in settings.KNOWN if key in columns]
        data = [{key: cell_numbers(row[key]) for key in naming if row[key]} for row in rows]
        in_pixels(data, lines, space.by_name["resolution"].choices, file)
    elif (name := column_of_dicts(columns, rows)) is not None:
        naming = [name]
        data = [
            dict_in(row[name], f"{at(file, line)}: column {name}")
            for row, line in zip(rows, lines, strict=True)
        ]
    elif {d.name for d in space.dimensions if d.needs is None} <= set(columns):
        naming = [d.name for d in space.dimensions if d.name in columns]
        found = ({key: cell_numbers(row[key]) for key in naming if row[key]} for row in rows)
        data = [{"space": space.name, "choices": choices} for choices in found]
    else:
        raise InputError(
            f"{file} does not say which subnets its rows are of: it has columns d, ks, e and r, or one of dicts "
            f"(called {DICTS[0]}, for example), or one for each dimension of {space.name}; its columns are {some(columns)}"
        )
    return naming, [
        arch_at_line(row, supernet, at(file, line)) for row, line in zip(data, lines, strict=True)
    ]


def arch_at_line(data: dict[str, Any], supernet: Supernet, where: str) -> Arch:
    try:
        return supernet.family.space.trained.arch(reader.arch_in(data, supernet, where).values)
    except InputError as error:
        raise error if where in str(error) else InputError(f"{where}: {error}") from None


def column_of_dicts(columns: Sequence[str], rows: Sequence[Row]) -> str | None:
    """The column of dicts: one of :data:`DICTS`, or the first in which every cell looks like one."""
    usual = next((name for name in DICTS if name in columns), None)
    return usual or next((name for name in columns if all(row[name].startswith("{") for row in rows)), None)


def dict_in(text: str, where: str) -> dict[str, Any]:
    try:
        return files.parse(text, where)
    except InputError:
        raise InputError(
            f"{where}: got {short(text)}; it is {reader.forms()}, as JSON or as Python prints it"
        ) from None


def cell_numbers(text: str) -> Any:
    """``2 2 3`` and ``[2, 2, 3]`` as a list, ``224`` as a number; what is not numbers stays text, to be refused."""
    found = [cell_number(word) for word in BETWEEN.split(text) if word]
    if not found or any(math.isnan(value) for value in found):
        return text
    whole = [int(value) if value.is_integer() else value for value in found]
    return whole[0] if len(whole) == 1 and text[0] not in "([" else whole


def in_pixels(
    data: Sequence[dict[str, Any]], lines: Sequence[int], sizes: Sequence[Choice], file: str
) -> None:
    """Put sides in pixels in place of indices, where the whole column is of these and some are no sides.

    Raises InputError for rows that are neither: a file holds one or the other.
    """
    given = [
        settings.resolution(row) if any(key in row for key in settings.RESOLUTION_KEYS) else None
        for row in data
    ]
    if all(size in sizes for size in given):
        return
    foreign = [i for i, size in enumerate(given) if size not in sizes]
    neither = [i for i in foreign if given[i] not in range(len(sizes))]
    if neither or any(size not in range(len(sizes)) for size in given):
        shown = neither or foreign
        raise InputError(
            f"{file}, {listed_lines([lines[i] for i in shown])}: column r: got {given[shown[0]]}; a resolution is one of "
            f"{some(sizes)}, or in all rows its index, 0 to {len(sizes) - 1}"
        )
    for row, index in zip(data, given, strict=True):
        key = next(key for key in settings.RESOLUTION_KEYS if key in row)
        row[key] = sizes[int(index or 0)]


# -- cells and lines -----------------------------------------------------------------


def cell_number(text: str) -> float:
    """The number in a text; NaN where there is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def at(file: str, line: int) -> str:
    return f"{file}, line {line}"


def listed_lines(lines: Sequence[int]) -> str:
    """The numbers of some lines, in words."""
    more = f" and {len(lines) - LINES_LISTED:,} more" if len(lines) > LINES_LISTED else ""
    return f"line{'s' if len(lines) > 1 else ''} {', '.join(map(str, lines[:LINES_LISTED]))}{more}"
