"""The choices a supernet offers, as integers for the search and as archs for people."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from supernet.archs.arch import PRECISION, Arch, Choice
from supernet.errors import InputError, short, some, unknown
from supernet.parsing import parse_json

Codes = npt.NDArray[np.int16]
"""Integer-encoded archs, shape (number of archs, number of dimensions)."""


@dataclass(frozen=True)
class Dimension:
    """One choice. ``needs = (name, n)``: it counts only where dimension ``name`` is >= n.

    ``free = (least, greatest)`` says that any whole number between them may be asked for in place of ``choices``, which
    are what the supernet was trained with.
    """

    name: str
    choices: tuple[Choice, ...]
    needs: tuple[str, int] | None = None
    free: tuple[int, int] | None = None

    @property
    def kind(self) -> str:
        """``resolution``, ``depth``, ``kernel``, ``expand`` or ``width``: the name up to the first dot."""
        return self.name.partition(".")[0]

    def offers(self, choice: object) -> bool:
        """Whether it is one of the choices, or a free one. True and False are no numbers."""
        if isinstance(choice, bool):
            return False
        free = self.free is not None and isinstance(choice, int) and self.free[0] <= choice <= self.free[1]
        return free or choice in self.choices

    @property
    def allowed(self) -> str:
        """What it offers, for a message."""
        between = f", or any whole number from {self.free[0]} to {self.free[1]}" if self.free else ""
        return f"{self.choices}{between}"


@dataclass(frozen=True)
class SearchSpace:
    """All archs of one supernet.

    Choices ascend, so that index 0 is the smallest everywhere; a dimension
    stands after the one it needs.
    """

    name: str
    dimensions: tuple[Dimension, ...]

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for dimension in self.dimensions:
            if dimension.name in seen:
                raise InputError(
                    f"space {self.name} has two dimensions called {dimension.name}; give each a name of its own, as "
                    f"{dimension.kind}.1 and {dimension.kind}.2"
                )
            if list(dimension.choices) != sorted(set(dimension.choices)):
                raise InputError(
                    f"choices of {dimension.name} in space {self.name} must ascend "
                    f"without repeats, got {dimension.choices}"
                )
            if dimension.needs is not None and dimension.needs[0] not in seen:
                raise InputError(f"{dimension.name} needs {dimension.needs[0]}, which must precede it")
            seen.add(dimension.name)

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Column of each dimension in encoded archs."""
        return {d.name: i for i, d in enumerate(self.dimensions)}

    @cached_property
    def by_name(self) -> Mapping[str, Dimension]:
        return {d.name: d for d in self.dimensions}

    @cached_property
    def sizes(self) -> npt.NDArray[np.int16]:
        """Number of choices of each dimension."""
        return np.array([len(d.choices) for d in self.dimensions], dtype=np.int16)

    @cached_property
    def every_choice(self) -> tuple[npt.NDArray[np.intp], Codes]:
        """The choices of all dimensions one after the other: the dimension and the code of each, shapes (m,)."""
        codes = np.concatenate([np.arange(size, dtype=np.int16) for size in self.sizes])
        return np.repeat(np.arange(len(self.sizes)), self.sizes), codes

    @cached_property
    def size(self) -> int:
        """Number of distinct archs."""
        children: dict[str, list[Dimension]] = {}
        for d in self.dimensions:
            if d.needs is not None:
                children.setdefault(d.needs[0], []).append(d)

        def count(dimension: Dimension) -> int:
            inner = children.get(dimension.name, [])
            return sum(
                math.prod(count(c) for c in inner if c.needs is not None and choice >= c.needs[1])
                for choice in dimension.choices
            )

        return math.prod(count(d) for d in self.dimensions if d.needs is None)

    @cached_property
    def trained(self) -> SearchSpace:
        """The same with the choices that the supernet was trained with alone, for what is of these."""
        return SearchSpace(self.name, tuple(replace(d, free=None) for d in self.dimensions))

    def restricted(self, only: Mapping[str, Iterable[Choice]]) -> SearchSpace:
        """A part of the space: for the dimensions or kinds named in ``only``, the choices given there.

        Its archs are archs of the whole space. What a dimension offers freely may be given too, and nothing is free in
        the part. Raises InputError for an unknown name or choice.
        """
        if not only:
            return self
        kinds = {d.kind for d in self.dimensions}
        for name, choices in only.items():
            mine = [d for d in self.dimensions if name in (d.name, d.kind)]
            if not mine:
                raise unknown(f"dimension of space {self.name}", name, [*kinds, *self.index])
            known = {choice for d in mine for choice in d.choices}
            foreign = [choice for choice in choices if not any(d.offers(choice) for d in mine)]
            if foreign or not list(choices):
                free = (
                    f", or any whole number from {mine[0].free[0]} to {mine[0].free[1]}"
                    if mine[0].free
                    else ""
                )
                raise InputError(
                    f"space {self.name} cannot be restricted to {name} {list(choices)}; allowed: {sorted(known)}{free}"
                )

        def left(d: Dimension) -> tuple[Choice, ...]:
            allowed = [set(choices) for name, choices in only.items() if name in (d.name, d.kind)]
            offered = sorted(
                {*d.choices, *(choice for choices in allowed for choice in choices if d.offers(choice))}
            )
            found = tuple(choice for choice in offered if all(choice in some for some in allowed))
            if not found:
                raise InputError(f"the restriction of space {self.name} leaves no choice for {d.name}")
            return found

        return SearchSpace(self.name, tuple(Dimension(d.name, left(d), d.needs) for d in self.dimensions))

    # -- archs ---------------------------------------------------------------

    def arch(self, values: Mapping[str, Choice]) -> Arch:
        """The canonical arch of ``values``; choices of skipped blocks may be absent or are dropped.

        Raises InputError for an unknown dimension, a missing one or a value outside its choices.
        """
        unknown = sorted(set(values) - set(self.index))
        if unknown:
            raise InputError(f"space {self.name} has no dimension {some(unknown)}; it has {some(self.index)}")
        kept: dict[str, Choice] = {}
        for d in self.dimensions:
            if not self._active(d, kept):
                continue
            if d.name not in values:
                raise InputError(f"an arch of {self.name} needs a value for {d.name}: one of {d.choices}")
            value = values[d.name]
            if not d.offers(value):
                raise InputError(f"{d.name} = {value!r} is not in space {self.name}; allowed: {d.allowed}")
            kept[d.name] = d.choices[d.choices.index(value)] if value in d.choices else value
        return Arch(self.name, tuple(kept.items()))

    @staticmethod
    def _active(d: Dimension, kept: Mapping[str, Choice]) -> bool:
        return d.needs is None or (d.needs[0] in kept and kept[d.needs[0]] >= d.needs[1])

    def from_dict(self, data: object) -> Arch:
        """The arch of what ``Arch.to_dict`` gave. Raises InputError for another space's."""
        if not isinstance(data, Mapping) or not isinstance(data.get("choices"), Mapping):
            raise InputError(
                f'an arch is {{"space": ..., "choices": {{dimension: value}}}}, got {short(str(data))}'
            )
        if data.get("space") != self.name:
            raise InputError(f"this arch is of space {data.get('space')!r}, not of {self.name!r}")
        return self.arch(data["choices"])

    def from_json(self, text: str) -> Arch:
        return self.from_dict(parse_json(text, "the arch"))

    def largest(self) -> Arch:
        return self.arch({d.name: d.choices[-1] for d in self.dimensions})

    def smallest(self) -> Arch:
        return self.arch({d.name: d.choices[0] for d in self.dimensions})

    def middle(self) -> Arch:
        """The middle choice everywhere (the larger of two middles)."""
        return self.arch({d.name: d.choices[len(d.choices) // 2] for d in self.dimensions})

    # -- integers ------------------------------------------------------------

    def encode(self, archs: Iterable[Arch]) -> Codes:
        """Canonical integer codes, shape (n, dimensions); a skipped block's entries are 0."""
        rows = []
        for arch in archs:
            if arch.space != self.name:
                raise InputError(f"arch {arch.id} is of space {arch.space!r}, not of {self.name!r}")
            values = arch.values
            if PRECISION in values and PRECISION not in self.index:
                raise InputError(
                    f"arch {arch.id} says its precision, and archs of space {self.name} have none here; give its network, "
                    "arch.network"
                )
            for d in self.dimensions:
                if d.name in values and values[d.name] not in d.choices:
                    raise InputError(
                        f"{d.name} {values[d.name]} of arch {arch.id} is none of the choices of space {self.name}, {d.choices}; "
                        f"add it: space: {{{d.name}: [..., {values[d.name]}]}}"
                    )
            rows.append([d.choices.index(values[d.name]) if d.name in values else 0 for d in self.dimensions])
        return np.array(rows, dtype=np.int16).reshape(-1, len(self.dimensions))

    def decode(self, codes: Codes) -> list[Arch]:
        """The archs of integer codes of shape (n, dimensions)."""
        pairs = self._pairs
        return [
            Arch(self.name, tuple(of[i] for of, i, counts in zip(pairs, row, active, strict=True) if counts))
            for row, active in zip(codes.tolist(), self.active(codes).tolist(), strict=True)
        ]

    @cached_property
    def _pairs(self) -> Sequence[Sequence[tuple[str, Choice]]]:
        """Of each dimension its name with each choice, which many archs share."""
        return [[(d.name, choice) for choice in d.choices] for d in self.dimensions]

    def active(self, codes: Codes) -> npt.NDArray[np.bool_]:
        """Which entries count, shape (n, dimensions)."""
        mask = np.ones(codes.shape, dtype=np.bool_)
        for columns, needed, first in self._needs:
            mask[:, columns] = mask[:, needed] & (codes[:, needed] >= first)
        return mask

    @cached_property
    def _needs(self) -> Sequence[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Codes]]:
        """(columns, needed columns, first indices that satisfy them) of conditional dimensions.

        Those that need an unconditional dimension come first, then those that need these, and so on.
        """
        ranks: dict[str, int] = {}
        rows: dict[int, list[tuple[int, int, int]]] = {}
        for column, d in enumerate(self.dimensions):
            ranks[d.name] = 0 if d.needs is None else ranks[d.needs[0]] + 1
            if d.needs is not None:
                first = sum(choice < d.needs[1] for choice in self.by_name[d.needs[0]].choices)
                rows.setdefault(ranks[d.name], []).append((column, self.index[d.needs[0]], first))
        tables = [np.array(rows[rank], dtype=np.intp).T for rank in sorted(rows)]
        return [(columns, needed, first.astype(np.int16)) for columns, needed, first in tables]

    def canonical(self, codes: Codes) -> Codes:
        """The same archs with the entries of skipped blocks set to 0."""
        return np.asarray(codes * self.active(codes), dtype=np.int16)

    def sample(self, n: int, rng: np.random.Generator, elastic: Iterable[str] | None = None) -> Codes:
        """n archs, each choice uniform; kinds outside ``elastic`` stay at their largest."""
        codes = (rng.random((n, len(self.dimensions))) * self.sizes).astype(np.int16)
        if elastic is not None:
            kinds = set(elastic)
            for i, d in enumerate(self.dimensions):
                if d.kind not in kinds:
                    codes[:, i] = self.sizes[i] - 1
        return self.canonical(codes)
