"""Measured top-1 of subnets: read from CSV files and from runs, to train a predictor on and to test it.

A CSV file names a subnet in one of two forms. The first is that of ``ofa`` and DyNAS-T: a
column ``Sub-network`` with a dict of ``ks``, ``e``, ``d`` (and ``w``) and ``r``, and ``Top-1
Acc (%)``. The second is that of a run's ``front.csv``: a column for each dimension of the
space, empty for skipped blocks, and ``validation_top1`` or ``top1`` as a fraction.
"""

from __future__ import annotations

import ast
import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from supernet.arch import Arch, Choice
from supernet.arrays import Floats
from supernet.errors import InputError, some
from supernet.space import Codes, SearchSpace

if TYPE_CHECKING:
    from supernet.catalog import Supernet

SUBNET, PERCENT = "Sub-network", "Top-1 Acc (%)"
FRACTIONS = ("validation_top1", "top1")
"""Columns of top-1 as a fraction; the first that is there counts."""
ARCH_ID = "arch_id"
FORMS = (
    f"{SUBNET} and {PERCENT!r}, or a column for each dimension of the space and {' or '.join(FRACTIONS)} "
    "as a fraction"
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


def from_csv(path: Path, supernet: Supernet, group: str | None = None) -> Measured:
    """The rows of a CSV file. Raises InputError that names file, line, column and value."""
    space = supernet.family.space
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            columns = reader.fieldnames or ()
            check_columns(columns, space, path)
            rows = [parse_row(row, space, f"{path}, line {reader.line_num}") for row in reader]
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a CSV file: {error}") from error
    if not rows:
        raise InputError(f"{path} has a heading but no rows")
    return of_rows(rows, space, group or path.name)


def check_columns(columns: Sequence[str], space: SearchSpace, path: Path) -> None:
    """Raises InputError where columns are missing."""
    always = [d.name for d in space.dimensions if d.needs is None]
    names = [SUBNET] if SUBNET in columns else always
    missing = [name for name in names if name not in columns]
    if PERCENT not in columns and not any(name in columns for name in FRACTIONS):
        missing.append(PERCENT if SUBNET in columns else FRACTIONS[-1])
    if missing:
        raise InputError(
            f"{path} has no column {some(missing)}; for {space.name} a file has {FORMS}; "
            f"this one has {some(columns) or 'none'}"
        )


def parse_row(row: Mapping[str, str | None], space: SearchSpace, where: str) -> tuple[Arch, float]:
    try:
        arch = of_ofa(row[SUBNET], space) if SUBNET in row else of_columns(row, space)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    given = row.get(ARCH_ID)
    if given and SUBNET not in row and given != arch.id:
        raise InputError(
            f"{where}: column {ARCH_ID}: {given} is not the arch of this row in {space.name}, which is "
            f"{arch.id}; the file is of another supernet, or was changed"
        )
    return arch, top1_of(row, where)


def top1_of(row: Mapping[str, str | None], where: str) -> float:
    """Top-1 of a row as a fraction."""
    column = next((name for name in (*FRACTIONS, PERCENT) if row.get(name)), PERCENT)
    whole = 100.0 if column == PERCENT else 1.0
    try:
        value = float(row.get(column) or "")
    except ValueError:
        value = math.nan
    if not 0 <= value <= whole:
        raise InputError(
            f"{where}: column {column}: got {row.get(column)!r}; top-1 is a number from 0 to {whole:g}"
        )
    return value / whole


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


def of_ofa(text: str | None, space: SearchSpace) -> Arch:
    """The arch of ``ofa``'s settings as text: ``{'ks': [...], 'e': [...], 'd': [...], 'r': [224]}``."""
    try:
        given = ast.literal_eval(text or "")
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise InputError(f"column {SUBNET}: got {str(text)[:80]!r}; it is a dict of ks, e, d and r (or w)")
    try:
        return from_settings(given, space)
    except InputError as error:
        raise InputError(f"column {SUBNET}: {error}") from None


KEYS = {"depth": "d", "kernel": "ks", "expand": "e", "width": "w"}
"""``ofa``'s names of the kinds of dimensions."""


def from_settings(given: Mapping[str, object], space: SearchSpace) -> Arch:
    """The arch that ``ofa``'s ``set_active_subnet`` calls so; ``r`` is the resolution, alone or in a list.

    ``d`` of a ResNet counts the blocks beyond a stage's least, twice for its stem; ``w`` are indices.
    """
    values: dict[str, Choice] = {"resolution": resolution(given)}
    resnet = any(d.kind == "width" for d in space.dimensions)
    for kind, key in KEYS.items():
        mine = [d for d in space.dimensions if d.kind == kind]
        if not mine:
            continue
        numbers = numbers_of(given, key, len(mine))
        for d, number in zip(mine, numbers, strict=True):
            value = number
            if resnet and kind == "width":
                if number not in range(len(d.choices)):
                    raise InputError(f"w holds {number!r} for {d.name}; allowed: 0 to {len(d.choices) - 1}")
                value = d.choices[int(number)]
            elif resnet and kind == "depth":
                value = d.choices[0] + (number // 2 if d.name == "depth.0" else number)
            elif kind == "depth" and len(d.choices) == 1:
                value = d.choices[0]  # ofa takes a stage's depth or its number of blocks, whichever is less
            values[d.name] = value
    return space.arch(values)


def resolution(given: Mapping[str, object]) -> Choice:
    value = given.get("r", given.get("image_size"))
    found = value[0] if isinstance(value, list) and len(value) == 1 else value
    if isinstance(found, bool) or not isinstance(found, int):
        raise InputError(f"r is the resolution as a number, or a list of one; got {str(value)[:80]}")
    return found


def numbers_of(given: Mapping[str, object], key: str, count: int) -> Sequence[Choice]:
    """A list of settings, as long as there are dimensions of its kind."""
    found = given.get(key)
    is_list = isinstance(found, list) and all(
        isinstance(n, int | float) and not isinstance(n, bool) for n in found
    )
    if not is_list or len(found) != count:  # type: ignore[arg-type]
        raise InputError(f"{key} is a list of {count} numbers here; got {str(found)[:80]}")
    return found  # type: ignore[return-value]
