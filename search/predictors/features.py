"""What our own predictor sees of an arch: which choices it has at least, their sums by stage, pairs, and size."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from supernet.archs.arch import Choice
from supernet.archs.space import Codes, SearchSpace
from supernet.archs.steps import Groups, Steps, grouped_places, skipped_as_negative, steps_of, summing
from supernet.errors import InputError

EncodedRows = npt.NDArray[np.float32]
"""One row an arch, or one column an arch where a function says so."""


@dataclass(frozen=True)
class StepEncoding:
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
        return grouped_places(keys)

    @cached_property
    def sum_kinds(self) -> tuple[str, ...]:
        """Kind of each sum."""
        return tuple(self.kinds[members[0]] for members in self.sums)

    @cached_property
    def stages(self) -> Groups:
        """The steps of each stage."""
        inside = [i for i, stage in enumerate(self._stage_of) if stage]
        groups = grouped_places(self._stage_of[i] for i in inside)
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
    def _steps(self) -> Steps:
        dimensions, codes = np.array(self.steps, dtype=np.intp).reshape(-1, 2).T
        return Steps(dimensions, codes.astype(np.int16))

    @cached_property
    def _summing(self) -> EncodedRows:
        """Steps -> sums, shape (sums, steps)."""
        return summing(self.sums, len(self.steps)).astype(np.float32)

    def columns(self, codes: Codes) -> EncodedRows:
        """Steps, then sums, shape (steps + sums, n), of canonical codes of all choices."""
        steps = np.ascontiguousarray(self._steps.taken(codes).T, dtype=np.float32)
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
                f"the predictor has no input for {d.name} {d.choices[codes[row, column]]}; it knows {known}; keep the search to "
                f"what it knows with space: {{{d.name}: [{known}]}}, or measure: accuracy: measured"
            )
        return found


def step_encoding_of(space: SearchSpace, codes: Codes) -> StepEncoding:
    """For canonical codes (n, dimensions) of ``space``: with the steps that some of them take and others do not."""
    every = steps_of(space)
    count = every.taken(skipped_as_negative(space, codes)).sum(axis=0)
    # what a block's first choice tells, the depth of its stage tells already
    kept = (every.codes > 0) & (count > 0) & (count < len(codes))
    steps = zip(every.dimensions[kept].tolist(), every.codes[kept].tolist(), strict=True)
    return StepEncoding(tuple((d.name, d.choices) for d in space.dimensions), tuple(steps))


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
