"""Latency of a subnet by a published table: the sum of the entries of its blocks and layers.

A table is of one device, one supernet and some resolutions. Nothing is interpolated: what a
table lacks is an error that names the layer, the resolution and the file.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from cost_models.device import LatencyTable, ResolutionTable
from cost_models.protocol import Costs
from cost_models.published_tables import FORMATS, UNITS_MS, Entries, Format, Piece, in_ms, read_tables
from cost_models.table_lint import lint
from cost_models.tables import TableCost, factor, layers_by_choice
from supernet.archs.arch import Arch, Choice
from supernet.archs.layers import Segment
from supernet.archs.space import Codes, SearchSpace
from supernet.errors import InputError, unknown
from supernet.families.catalog import Supernet
from supernet.messages import Say

RESOLUTION = "resolution"
OfResolution = TypeVar("OfResolution")


class Lack(NamedTuple):
    """A piece of a network that the table of a resolution has no entry for."""

    piece: Piece
    resolution: int
    file: str

    def __str__(self) -> str:
        return (
            f"layer {self.piece.name} at resolution {self.resolution} needs the entry {self.piece.key!r}, "
            f"which {self.file} lacks"
        )


@dataclass(frozen=True)
class LatencyStd:
    """Standard deviation of a subnet's latency in milliseconds: the root of a sum of variances."""

    variance: TableCost
    name: str = "latency_std_ms"

    def __call__(self, arch: Arch) -> float:
        return float(np.sqrt(self.variance(arch)))

    def batch(self, codes: Codes) -> Costs:
        """Standard deviations of codes (n, dimensions), shape (n,)."""
        return np.asarray(np.sqrt(self.variance.batch(codes)), dtype=np.float64)


def read_latency_table(
    name: str,
    path: Path,
    supernet: Supernet,
    unit: str = "ms",
    others: Mapping[str, LatencyTable] | None = None,
    say: Say = print,
) -> LatencyTable:
    """The published tables of format ``name`` in a folder, which cover ``supernet`` at their resolutions.

    ``say`` gets what is suspicious (:mod:`cost_models.table_lint`); ``others`` are known tables, by device.
    Raises InputError for an unknown format, wrong files, what cannot be meant and for what they lack.
    """
    known = format_of(name)
    if unit not in UNITS_MS:
        raise unknown("unit of latency tables", unit, UNITS_MS)
    read = read_tables(known, path)
    lint({str(file): entries for file, entries in read.values()}, unit, others or {}, say)
    if known.one:
        read = at_resolutions_of(supernet, read, path)
    table = LatencyTable(
        supernet=supernet.name,
        fingerprint=supernet.fingerprint,
        format=name,
        tables={
            resolution: ResolutionTable(file=file.name, sha256=sha256(file), entries=in_ms(entries, unit))
            for resolution, (file, entries) in read.items()
        },
    )
    check_cover(table, supernet, path)
    return only_needed(table, supernet) if known.one else table


def at_resolutions_of(
    supernet: Supernet, read: dict[int, OfResolution], path: Path
) -> dict[int, OfResolution]:
    """A file of all resolutions without those that the supernet has not. Raises InputError where none is left."""
    choices = supernet.family.space.by_name[RESOLUTION].choices
    found = {resolution: part for resolution, part in read.items() if resolution in choices}
    if not found:
        raise InputError(
            f"{path} has resolution {listed(read)}, of which {supernet.name} has none; its resolutions are {listed(choices)}"
        )
    return found


def only_needed(table: LatencyTable, supernet: Supernet) -> LatencyTable:
    """The same with the entries that the supernet has at each resolution: the file holds those of all."""
    keys: dict[int, set[str]] = {resolution: set() for resolution in table.resolutions}
    for resolution, piece in needed_pieces(table, supernet):
        keys[resolution].add(piece.key)

    def left(entries: Entries, resolution: int) -> Entries:
        return {key: figures for key, figures in entries.items() if key in keys[resolution]}

    tables = {
        resolution: part.model_copy(update={"entries": left(part.entries, resolution)})
        for resolution, part in table.tables.items()
    }
    return table.model_copy(update={"tables": tables})


def needed_pieces(table: LatencyTable, supernet: Supernet) -> Iterator[tuple[int, Piece]]:
    """Resolution and piece of all that the supernet is made of at the table's resolutions."""
    whole = supernet.restricted({RESOLUTION: table.resolutions})
    for segment in whole.segments:
        for resolution, pieces in pieces_by_choice(table.format, whole.space, segment):
            for piece in pieces:
                yield resolution, piece


def format_of(name: str) -> Format:
    if name not in FORMATS:
        raise unknown("format of latency tables", name, FORMATS)
    return FORMATS[name]


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def check_cover(table: LatencyTable, supernet: Supernet, path: Path) -> None:
    """Raises InputError where the table has another resolution than the supernet, or lacks an entry of it."""
    known = supernet.family.space.by_name[RESOLUTION].choices
    foreign = [resolution for resolution in table.resolutions if resolution not in known]
    if foreign:
        raise InputError(
            f"{path} has tables of resolution {listed(foreign)}, which {supernet.name} has not; "
            f"its resolutions are {listed(known)}"
        )
    needed: dict[tuple[int, str], Piece] = {}
    for resolution, piece in needed_pieces(table, supernet):
        needed.setdefault((resolution, piece.key), piece)
    found = [lack_of(table, resolution, piece) for (resolution, _), piece in needed.items()]
    lacks = [lack for lack in found if lack is not None]
    if lacks:
        first = min(lacks, key=lambda lack: lack.resolution)  # of these the one that runs first
        raise InputError(
            f"the {table.format} tables in {path} do not cover {supernet.name}: {len(lacks):,} of the "
            f"{len(needed):,} entries that it needs are not there. The first: {first}. "
            "--supernet names the supernet that they were measured for"
        )


def latency_cost(table: LatencyTable, supernet: Supernet, device: str) -> TableCost:
    """The sum of means, in milliseconds, as the cost ``latency_ms``; as whole subnets make of it, if any were measured."""
    whole = table.whole
    if whole is None:
        return summed("latency_ms", table, supernet, device, lambda mean, std: mean)
    scaled = summed("latency_ms", table, supernet, device, lambda mean, std: whole.factor * mean)
    return replace(scaled, offset=whole.intercept_ms)


def latency_std(table: LatencyTable, supernet: Supernet, device: str) -> LatencyStd:
    """The standard deviation of one inference's latency, as if its entries varied independently.

    Raises InputError for a table of plain means.
    """

    factor = table.whole.factor if table.whole is not None else 1.0

    def variance(mean: float, std: float | None) -> float:
        if std is None:
            raise InputError(
                f"the latency table of device {device!r} has plain means, without standard deviations"
            )
        return (factor * std) ** 2

    return LatencyStd(summed("variance_ms2", table, supernet, device, variance))


def summed(
    name: str,
    table: LatencyTable,
    supernet: Supernet,
    device: str,
    figure: Callable[[float, float | None], float],
) -> TableCost:
    """The cost that adds ``figure`` of mean and standard deviation over the pieces of an arch.

    Raises InputError for resolutions of the space that the table has not, and for missing entries.
    """
    space = supernet.space
    check_resolutions(table, space, device)

    def value(resolution: int, pieces: tuple[Piece, ...]) -> float:
        entries = table.tables[resolution].entries
        try:
            return sum(figure(*entries[piece.key]) for piece in pieces)
        except KeyError:
            lack = next(filter(None, (lack_of(table, resolution, piece) for piece in pieces)))
            raise InputError(f"device {device!r} has no latency of this subnet: {lack}") from None

    factors = [
        factor(space, segment, [value(*choice) for choice in pieces_by_choice(table.format, space, segment)])
        for segment in supernet.segments
    ]
    return TableCost(name, space, tuple(factors))


def check_resolutions(table: LatencyTable, space: SearchSpace, device: str) -> None:
    """Raises InputError where the space has a resolution that the table has not."""
    choices = space.by_name[RESOLUTION].choices
    lacking = [choice for choice in choices if choice not in table.tables]
    if lacking:
        both = [choice for choice in choices if choice in table.tables] or table.resolutions
        raise InputError(
            f"the latency table of device {device!r} has no resolution {listed(lacking)}; it has "
            f"{listed(table.resolutions)}. Restrict the search in its YAML: "
            f"space: {{resolution: [{listed(both)}]}}"
        )


def lack_of(table: LatencyTable, resolution: int, piece: Piece) -> Lack | None:
    """What is missing for a piece, if it is."""
    there = table.tables[resolution]
    return None if piece.key in there.entries else Lack(piece, resolution, there.file)


@lru_cache(maxsize=256)
def pieces_by_choice(
    format_name: str, space: SearchSpace, segment: Segment
) -> list[tuple[int, tuple[Piece, ...]]]:
    """Resolution and pieces for each combination of a segment's choices, the last dimension fastest.

    They are kept for the next cost of the same space, as its layers are.
    """
    pieces = format_of(format_name).pieces
    choices = itertools.product(*(space.by_name[name].choices for name in segment.dimensions))
    column = segment.dimensions.index(RESOLUTION)
    return [
        (int(row[column]), pieces(layers))
        for row, layers in zip(choices, layers_by_choice(space, segment), strict=True)
    ]


def listed(numbers: Iterable[Choice]) -> str:
    return ", ".join(map(str, numbers))
