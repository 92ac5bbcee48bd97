"""Measured top-1 of subnets: read from CSV files and from runs, to train a predictor on and to test it.

A CSV file names a subnet in one of two forms. The first is that of ``ofa`` and DyNAS-T: a
column ``Sub-network`` with a dict of ``ks``, ``e``, ``d`` (and ``w``) and ``r``, or another of the
encodings of :mod:`supernet.ofa_format.reader`, and ``Top-1 Acc (%)``. The second is that of a run's
``front.csv``: a column for each dimension of the space, empty for skipped blocks, and
``validation_top1`` or ``top1``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from search.predictors.top1_columns import COLUMNS, FRACTIONS, PERCENT, entry_of, fractions
from supernet.archs.arch import Arch, Choice
from supernet.archs.space import Codes, SearchSpace
from supernet.arrays import Floats
from supernet.documents import text_of
from supernet.errors import InputError, some
from supernet.ofa_format import files, reader

if TYPE_CHECKING:
    from supernet.families.catalog import Supernet

SUBNET = "Sub-network"
ARCH_ID_COLUMN = "arch_id"
CSV_FORMS = (
    f"{SUBNET} and {PERCENT!r}, or a column for each dimension of the space and {' or '.join(FRACTIONS)}"
)


@dataclass(frozen=True)
class Measured:
    """Subnets with their measured top-1, a row each; a subnet may stand in several rows.

    ``codes`` (n, dimensions) are canonical codes of ``space``, the whole one of a supernet;
    ``top1`` (n,) are fractions; ``groups`` say which file or run a row is from.
    """

    space: SearchSpace
    codes: Codes
    top1: Floats
    groups: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.top1)

    @cached_property
    def keys(self) -> tuple[bytes, ...]:
        """What tells the subnets apart: equal for rows of the same one."""
        return tuple(row.tobytes() for row in self.codes)

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The arch id of each row."""
        return tuple(arch.id for arch in self.space.decode(self.codes))

    def __getitem__(self, rows: Sequence[int] | npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Measured:
        """The rows of these numbers, or those that a mask (n,) is true for."""
        chosen = np.arange(len(self))[rows]
        return Measured(
            self.space, self.codes[chosen], self.top1[chosen], tuple(self.groups[i] for i in chosen)
        )

    def without(self, other: Measured) -> Measured:
        """The rows whose subnet ``other`` does not have."""
        known = set(other.keys)
        return self[[i for i, key in enumerate(self.keys) if key not in known]]

    def of(self, group: str) -> Measured:
        """The rows of one file or run."""
        return self[[i for i, name in enumerate(self.groups) if name == group]]

    def merged(self) -> Measured:
        """One row a subnet, in the order in which they first stand, with the mean of what was measured."""
        rows: dict[bytes, list[int]] = {}
        for i, key in enumerate(self.keys):
            rows.setdefault(key, []).append(i)
        firsts = [found[0] for found in rows.values()]
        means = np.array([self.top1[found].mean() for found in rows.values()])
        return Measured(self.space, self.codes[firsts], means, tuple(self.groups[i] for i in firsts))


def labels(places: Sequence[Path]) -> list[str]:
    """File names, or whole paths where two files have the same name."""
    short = [place.name for place in places]
    return [str(p) if short.count(p.name) > 1 else p.name for p in places]


def joined(parts: Sequence[Measured], space: SearchSpace) -> Measured:
    """The rows of all parts, one after the other."""
    return Measured(
        space,
        np.concatenate([space.encode([]), *(part.codes for part in parts)]),
        np.concatenate([np.empty(0), *(part.top1 for part in parts)]),
        tuple(group for part in parts for group in part.groups),
    )


def of_rows(rows: Sequence[tuple[Arch, float]], space: SearchSpace, group: str) -> Measured:
    """Archs of ``space`` with their top-1."""
    codes = space.encode([arch for arch, _ in rows])
    return Measured(space, codes, np.array([top1 for _, top1 in rows], dtype=float), (group,) * len(rows))


# -- CSV files ---------------------------------------------------------------------


def from_csv(
    path: Path, supernet: Supernet, group: str | None = None, say: Callable[[str], None] = lambda _: None
) -> Measured:
    """The rows of a CSV file; ``say`` gets the unit of its top-1.

    Raises InputError that names file, lines, column and value.
    """
    space = supernet.family.space
    try:
        lines = csv.DictReader(io.StringIO(text_of(path, "CSV"), newline=""), strict=True)
        check_columns(lines.fieldnames or (), space, path)
        rows = [(lines.line_num, row) for row in lines]
    except csv.Error as error:
        raise InputError(f"{path} is not a CSV file: {error}") from error
    if not rows:
        raise InputError(f"{path} has a heading but no rows")
    archs = [arch_of_row(row, supernet, f"{path}, line {line}") for line, row in rows]
    top1 = fractions([entry_of(row, line) for line, row in rows], str(path), say)
    return Measured(space, space.encode(archs), top1, (group or path.name,) * len(rows))


def check_columns(columns: Sequence[str], space: SearchSpace, path: Path) -> None:
    """Raises InputError where columns are missing."""
    always = [d.name for d in space.dimensions if d.needs is None]
    names = [SUBNET] if SUBNET in columns else always
    missing = [name for name in names if name not in columns]
    if not any(name in columns for name in COLUMNS):
        missing.append(PERCENT if SUBNET in columns else FRACTIONS[-1])
    if missing:
        raise InputError(
            f"{path} has no column {some(missing)}; for {space.name} a file has {CSV_FORMS}; "
            f"this one has {some(columns) or 'none'}"
        )


def arch_of_row(row: Mapping[str, str | None], supernet: Supernet, where: str) -> Arch:
    """The arch of a row in either form."""
    space = supernet.family.space.trained
    try:
        found = of_text(row[SUBNET], supernet) if SUBNET in row else of_columns(row, space)
        arch = space.arch(found.values)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    given = row.get(ARCH_ID_COLUMN)
    if given and SUBNET not in row and given != arch.id:
        raise InputError(
            f"{where}: column {ARCH_ID_COLUMN}: {given} is not the arch of this row in {space.name}, which is "
            f"{arch.id}; the file is of another supernet, or was changed"
        )
    return arch


def of_columns(row: Mapping[str, str | None], space: SearchSpace) -> Arch:
    """The arch of a row that has a column for each dimension, empty for skipped blocks."""
    values: dict[str, Choice] = {}
    for d in space.dimensions:
        text = row.get(d.name)
        if text:
            try:
                number = float(text)
            except ValueError:
                raise InputError(f"column {d.name}: got {text!r}; allowed: {d.choices}") from None
            values[d.name] = int(number) if number.is_integer() else number
    return space.arch(values)


def of_text(text: str | None, supernet: Supernet) -> Arch:
    """The arch that the column :data:`SUBNET` holds, in any encoding that is known."""
    where = f"column {SUBNET}"
    try:
        given = files.parse(text or "", where)
    except InputError:
        raise InputError(
            f"{where}: got {str(text)[:80]!r}; it is a dict of ks, e, d and r (or w), as JSON or as Python prints it"
        ) from None
    return reader.arch_in(given, supernet, where)
