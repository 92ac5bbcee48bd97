"""What our own predictor sees of an arch: which choices it has at least, their sums by stage, pairs, and size."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from supernet.arch import Choice
from supernet.errors import InputError
from supernet.space import Codes, SearchSpace

EncodedRows = npt.NDArray[np.float32]
"""One row an arch, or one column an arch where a function says so."""
Groups = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Encoding:
    """Archs of one supernet as numbers.

    ``choices`` are those of each dimension, in the space's order. A step ``(dimension, code)``
    is 1 where the dimension counts and its code is that one or a greater one, else 0.
    """

    choices: tuple[tuple[str, tuple[Choice, ...]], ...]
    steps: tuple[tuple[int, int], ...]

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """Kind of each step: that of its dimension."""
        return tuple(self.choices[dimension][0].partition(".")[0] for dimension, _ in self.steps)

    @cached_property
    def sums(self) -> Groups:
        """Steps that are summed: the same step of a stage's blocks, or all of what has no stage."""
        keys: list[Hashable] = []
        for (dimension, code), kind, stage in zip(self.steps, self.kinds, self._stage_of, strict=True):
            keys.append((kind, stage, self.choices[dimension][1][code]) if stage else kind)
        return grouped(keys)

    @cached_property
    def sum_kinds(self) -> tuple[str, ...]:
        """Kind of each sum."""
        return tuple(self.kinds[members[0]] for members in self.sums)

    @cached_property
    def stages(self) -> Groups:
        """The steps of each stage."""
        inside = [i for i, stage in enumerate(self._stage_of) if stage]
        groups = grouped([self._stage_of[i] for i in inside])
        return tuple(tuple(inside[i] for i in group) for group in groups)

    @cached_property
    def groups(self) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
        """Steps and sums of each stage, and of what has no stage: only sums of two groups meet in a pair."""
        stage_of_sum = [self._stage_of[members[0]] for members in self.sums]
        return tuple(
            (
                tuple(i for i, other in enumerate(self._stage_of) if other == stage),
                tuple(i for i, other in enumerate(stage_of_sum) if other == stage),
            )
            for stage in dict.fromkeys(self._stage_of)
        )

    @cached_property
    def pairs(self) -> npt.NDArray[np.intp]:
        """What each product multiplies, shape (2, pairs): any two steps of a stage, any two sums, or one twice.

        Steps count from 0, sums go on after them.
        """
        sums = tuple(range(len(self.steps), len(self.steps) + len(self.sums)))
        found = [np.array(group, dtype=np.intp)[np.array(np.triu_indices(len(group)))]
                 for group in (*self.stages, sums)]  # fmt: skip
        return np.asarray(np.concatenate(found, axis=1), dtype=np.intp)

    @cached_property
    def _stage_of(self) -> tuple[str, ...]:
        """Empty for what all stages share: the resolution."""
        return tuple(self.choices[d][0].partition(".")[2].partition(".")[0] for d, _ in self.steps)

    @cached_property
    def _steps(self) -> npt.NDArray[np.int16]:
        return np.array(self.steps, dtype=np.int16).reshape(-1, 2)

    @cached_property
    def _summing(self) -> EncodedRows:
        """Steps -> sums, shape (sums, steps), scaled so that n independent steps vary like one."""
        matrix = np.zeros((len(self.sums), len(self.steps)), dtype=np.float32)
        for row, members in zip(matrix, self.sums, strict=True):
            row[list(members)] = len(members) ** -0.5
        return matrix

    def columns(self, codes: Codes) -> EncodedRows:
        """Steps, then sums, shape (steps + sums, n), of canonical codes of all choices."""
        steps = (codes.T[self._steps[:, 0]] >= self._steps[:, 1:]).astype(np.float32)
        return np.concatenate([steps, self._summing @ steps], dtype=np.float32)

    def products(self, columns: EncodedRows) -> EncodedRows:
        """Shape (pairs, n)."""
        first, second = self.pairs
        return np.asarray(columns[first] * columns[second], dtype=np.float32)

    def recoded(self, space: SearchSpace, codes: Codes) -> Codes:
        """Codes of ``space``, which may have a part of the choices, as canonical codes of all of them.

        Raises InputError for other dimensions, and for a choice that there is no input for.
        """
        table = places(self.choices, space)
        active = space.active(codes)
        found = np.where(active, table[np.arange(len(space.dimensions)), codes], 0)
        if (found < 0).any():
            row, column = (int(first[0]) for first in np.nonzero(found < 0))
            d = space.dimensions[column]
            known = ", ".join(map(str, self.choices[column][1]))
            raise InputError(
                f"the predictor has no input for {d.name} {d.choices[codes[row, column]]}; it knows {known}"
            )
        return found


def encoding_of(space: SearchSpace, codes: Codes) -> Encoding:
    """For canonical codes (n, dimensions) of ``space``: with the steps that some of them take and others do not."""
    active = space.active(codes)
    steps = [
        (i, code)
        for i, d in enumerate(space.dimensions)
        for code in range(1, len(d.choices))
        if 0 < np.count_nonzero(active[:, i] & (codes[:, i] >= code)) < len(codes)
    ]
    return Encoding(tuple((d.name, d.choices) for d in space.dimensions), tuple(steps))


def grouped(keys: Sequence[Hashable]) -> Groups:
    """Indices of equal keys together, in the order in which they first appear."""
    members: dict[Hashable, list[int]] = {}
    for i, key in enumerate(keys):
        members.setdefault(key, []).append(i)
    return tuple(tuple(found) for found in members.values())


@lru_cache(maxsize=16)
def places(choices: tuple[tuple[str, tuple[Choice, ...]], ...], space: SearchSpace) -> Codes:
    """Place among ``choices`` of each choice of ``space``, -1 where it has none; shape (dimensions, most choices)."""
    names = [name for name, _ in choices]
    if names != list(space.index):
        raise InputError(
            f"the predictor is for a space of {len(names)} dimensions, {', '.join(names[:4])}, ...; {space.name} "
            f"has {len(space.dimensions)}, {', '.join(list(space.index)[:4])}, ..."
        )
    table = np.full((len(names), int(space.sizes.max())), -1, dtype=np.int16)
    for row, (_, known), d in zip(table, choices, space.dimensions, strict=True):
        row[: len(d.choices)] = [known.index(c) if c in known else -1 for c in d.choices]
    return table
