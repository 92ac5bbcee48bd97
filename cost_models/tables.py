"""Costs that are summed (or maximised) over layers, as lookup tables for whole populations.

Each segment of a network depends on a few dimensions only. Its cost for every
combination of their choices is computed once; a population is then one table
look-up a segment. The same tables give the exact least and greatest value of
the cost by eliminating one dimension after the other (Dechter, 1999).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cost_models.protocol import Costs, Reach
from supernet.archs.arch import Arch
from supernet.archs.layers import Layer, Segment
from supernet.archs.space import Codes, SearchSpace

Combine = Literal["sum", "max"]


@dataclass(frozen=True)
class Factor:
    """Costs of one segment: ``table[i, j, ...]`` for choices i, j, ... of the dimensions ``columns``."""

    columns: tuple[int, ...]
    table: npt.NDArray[np.float64]

    @cached_property
    def strides(self) -> tuple[int, ...]:
        sizes = self.table.shape
        return tuple(int(np.prod(sizes[i + 1 :], dtype=np.int64)) for i in range(len(sizes)))

    def look_up(self, codes: Codes) -> Costs:
        """Entry of each row of ``codes``, shape (n,)."""
        flat = np.zeros(len(codes), dtype=np.intp)
        for column, stride in zip(self.columns, self.strides, strict=True):
            flat += codes[:, column].astype(np.intp) * stride
        return self.table.reshape(-1)[flat]


@dataclass(frozen=True)
class TableEntries:
    """The tables of many factors in one row, so that a population needs one look-up and not one a factor."""

    factors: tuple[Factor, ...]
    space: SearchSpace

    def joined(self, codes: Codes, combine: Combine, offset: float) -> Costs:
        """``offset`` and the entries of all factors, added or the largest, of each row of ``codes``; shape (n,).

        One factor after the other, so that a figure does not depend on what else is in the batch.
        """
        join = np.add if combine == "sum" else np.maximum
        strides, first, row = self._layout
        total = np.full(len(codes), offset)
        for start in range(0, len(codes), CHUNK):
            part = codes[start : start + CHUNK]
            places = (strides @ part.T.astype(strides.dtype)).astype(np.intp)
            places += first
            out = total[start : start + CHUNK]
            for entries in row[places]:
                join(out, entries, out=out)
        return total

    def changed(self, codes: Codes) -> Costs:
        """What each choice of each dimension adds to the sum, shape (n, choices): the entries of its own factors alone."""
        strides, first, row = self._layout
        factor, column, choice, stride, begins = self._moves
        places = (codes.astype(strides.dtype) @ strides.T).astype(np.intp) + first[:, 0]
        there = row[places[:, factor] + (choice - codes[:, column]) * stride]
        return np.asarray(np.add.reduceat(there - row[places][:, factor], begins, axis=1))

    @cached_property
    def _moves(self) -> tuple[npt.NDArray[np.intp], ...]:
        """Each choice with each factor that it changes: factor, column, choice, stride; and where each choice begins.

        A choice that no factor knows is listed once and moves nothing.
        """
        rows, begins = list[tuple[int, int, int, int]](), list[int]()
        for column, choice in zip(*(part.tolist() for part in self.space.every_choice), strict=True):
            begins.append(len(rows))
            mine = [
                (i, column, choice, factor.strides[factor.columns.index(column)])
                for i, factor in enumerate(self.factors)
                if column in factor.columns
            ]
            rows += mine or [(0, column, choice, 0)]
        return (*np.array(rows, dtype=np.intp).T, np.array(begins, dtype=np.intp))

    @cached_property
    def _layout(self) -> tuple[npt.NDArray[np.floating[Any]], npt.NDArray[np.intp], npt.NDArray[np.float64]]:
        """Strides (factors, dimensions) and the first place (factors, 1) of each table in the row.

        A product of small integers is exact in floating point, where it is fastest.
        """
        sizes = [factor.table.size for factor in self.factors]
        strides = np.zeros(
            (len(sizes), len(self.space.dimensions)), np.float32 if max(sizes) < 2**24 else np.float64
        )
        for of_factor, factor in zip(strides, self.factors, strict=True):
            of_factor[list(factor.columns)] = factor.strides
        first = np.cumsum([0, *sizes[:-1]], dtype=np.intp)[:, None]
        return strides, first, np.concatenate([factor.table.reshape(-1) for factor in self.factors])


CHUNK = 2048
"""Archs at a time: their places in the tables stay in the processor's cache."""


@dataclass(frozen=True)
class TableCost:
    """A cost model over lookup tables; ``offset`` is what every arch costs before its layers."""

    name: str
    space: SearchSpace
    factors: tuple[Factor, ...]
    combine: Combine = "sum"
    offset: float = 0.0

    def __call__(self, arch: Arch) -> float:
        return float(self.batch(self.space.encode([arch]))[0])

    def batch(self, codes: Codes) -> Costs:
        return self._entries.joined(codes, self.combine, self.offset)

    def changed(self, codes: Codes) -> Costs:
        """Costs with each choice of each dimension made, one at a time, shape (n, choices); of sums alone."""
        return np.asarray(self.batch(codes)[:, None] + self._entries.changed(codes))

    def reach(self) -> Reach:
        """The exact least and greatest value over the whole space."""
        return self._reach

    @cached_property
    def _entries(self) -> TableEntries:
        return TableEntries(self.factors, self.space)

    @cached_property
    def _reach(self) -> Reach:
        smallest, largest = (
            self.space.decode(extreme(self.space, self.factors, self.combine, sign)[None])[0]
            for sign in (1, -1)
        )
        return Reach(self(smallest), self(largest), smallest, largest, exact=True)


def table_cost(
    name: str,
    space: SearchSpace,
    segments: Sequence[Segment],
    of_layer: Callable[[Layer], float],
    combine: Combine = "sum",
    offset: float = 0.0,
) -> TableCost:
    """The cost that adds (or takes the largest of) ``of_layer`` over all layers of an arch."""
    together = sum if combine == "sum" else max

    def of_layers(layers: tuple[Layer, ...]) -> float:
        return float(together([of_layer(layer) for layer in layers] or [0]))  # a segment may be skipped

    return segment_cost(name, space, segments, of_layers, combine, offset)


def segment_cost(
    name: str,
    space: SearchSpace,
    segments: Sequence[Segment],
    of_layers: Callable[[tuple[Layer, ...]], float],
    combine: Combine = "sum",
    offset: float = 0.0,
) -> TableCost:
    """The cost that adds (or takes the largest of) ``of_layers`` of each segment of an arch."""
    factors = [
        factor(space, segment, [of_layers(layers) for layers in layers_by_choice(space, segment)])
        for segment in segments
    ]
    return TableCost(name, space, tuple(factors), combine, offset)


@lru_cache(maxsize=256)
def layers_by_choice(space: SearchSpace, segment: Segment) -> list[tuple[Layer, ...]]:
    """A segment's layers for each combination of choices of its dimensions, the last one fastest.

    They are kept for the next cost of the same space: making them takes longer than adding them up.
    """
    names = segment.dimensions
    combinations = itertools.product(*(space.by_name[name].choices for name in names))
    return [segment.layers(dict(zip(names, row, strict=True))) for row in combinations]


def factor(space: SearchSpace, segment: Segment, entries: Sequence[float]) -> Factor:
    """The lookup table of a segment: its entries, and nothing where the segment is skipped."""
    columns = tuple(space.index[name] for name in segment.dimensions)
    table = np.array(entries, dtype=np.float64).reshape([int(space.sizes[column]) for column in columns])
    if segment.needs is None:
        return Factor(columns, table)
    needed = space.by_name[segment.needs[0]]
    there = np.array([choice >= segment.needs[1] for choice in needed.choices])
    if there.all():
        return Factor(columns, table)
    return Factor((*columns, space.index[needed.name]), np.where(there, table[..., None], 0.0))


def extreme(space: SearchSpace, factors: Sequence[Factor], combine: Combine, sign: int) -> Codes:
    """Codes of an arch whose combined cost is least (``sign`` 1) or greatest (``sign`` -1).

    Bucket elimination: the dimension that meets the smallest tables is minimised out
    first, remembering its best choice for each choice of its neighbours.
    """
    best, pick = (np.min, np.argmin) if sign > 0 else (np.max, np.argmax)
    join = np.add if combine == "sum" else np.maximum
    pool = list(factors)
    decided: list[tuple[int, tuple[int, ...], npt.NDArray[np.intp]]] = []
    remaining = {column for factor in factors for column in factor.columns}

    def neighbours(column: int) -> set[int]:
        return {c for factor in pool if column in factor.columns for c in factor.columns}

    while remaining:
        column = min(
            remaining, key=lambda c: (np.prod([space.sizes[n] for n in neighbours(c)], dtype=float), c)
        )
        touching = [factor for factor in pool if column in factor.columns]
        pool = [factor for factor in pool if column not in factor.columns]
        scope = (*sorted({c for factor in touching for c in factor.columns} - {column}), column)
        joined = align(touching[0], scope)
        for factor in touching[1:]:
            joined = join(joined, align(factor, scope))
        joined = np.broadcast_to(joined, tuple(int(space.sizes[c]) for c in scope))
        decided.append((column, scope[:-1], np.asarray(pick(joined, axis=-1))))
        if len(scope) > 1:
            pool.append(Factor(scope[:-1], np.asarray(best(joined, axis=-1))))
        remaining.remove(column)
    codes = np.zeros(len(space.dimensions), dtype=np.int16)
    for column, others, choice in reversed(decided):
        codes[column] = choice[tuple(codes[list(others)])]
    return codes


def align(factor: Factor, scope: Sequence[int]) -> npt.NDArray[np.float64]:
    """The factor's table with one axis for each column of ``scope``, size 1 where it has none."""
    order = sorted(range(len(factor.columns)), key=lambda i: scope.index(factor.columns[i]))
    sizes = dict(zip(factor.columns, factor.table.shape, strict=True))
    return factor.table.transpose(order).reshape([sizes.get(column, 1) for column in scope])
