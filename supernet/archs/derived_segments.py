"""Segments of a network that is described by a walk over whole archs, ``layers(arch)``.

A block is what consecutive layers share in their names before the last dot. On which dimensions it depends is found by
changing one at a time, from several archs, and held against random archs: where a block is another one there than its
dimensions say, the way from one arch to the other, again one change at a time, leads to what was missing.
"""

from __future__ import annotations

import graphlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from itertools import pairwise

import numpy as np

from supernet.archs.arch import Arch, Choice
from supernet.archs.layers import Layer, Segment
from supernet.archs.space import Dimension, SearchSpace
from supernet.errors import InputError, some

WholeWalk = Callable[[Arch], Sequence[Layer]]
Pieces = Mapping[str, tuple[Layer, ...]]
"""The layers of each block of an arch, in order."""

MOST_TABLE_ENTRIES = 20_000
"""Of the choices that one block depends on: as many entries has its table, and each takes a walk to make."""
HELD_AGAINST = 64
"""Random archs."""
KEPT_WALKS = 4096


@dataclass
class Dependence:
    """Dimensions that change a block's layers, and those that decide whether it is there."""

    inside: set[str] = field(default_factory=set)
    presence: set[str] = field(default_factory=set)

    @property
    def all(self) -> set[str]:
        return self.inside | self.presence


@dataclass(frozen=True)
class WalkedBlocks:
    """A walk over the archs of a space, in blocks; dimensions without a value are at their largest."""

    space: SearchSpace
    walk: WholeWalk
    called: str

    def at(self, values: Mapping[str, Choice]) -> Pieces:
        return self._walked(self.space.arch({**self._largest, **values}))

    def of(self, block: str, values: Mapping[str, Choice]) -> tuple[Layer, ...]:
        """The layers of one block; none where it is skipped."""
        return self.at(values).get(block, ())

    @cached_property
    def _largest(self) -> Mapping[str, Choice]:
        return {d.name: d.choices[-1] for d in self.space.dimensions}

    @cached_property
    def _walked(self) -> Callable[[Arch], Pieces]:
        return lru_cache(KEPT_WALKS)(lambda arch: blocks_of(self.walk(arch), self.called))


def blocks_of(layers: Sequence[Layer], called: str) -> Pieces:
    """Consecutive layers by what their names share; a layer whose name has no dot begins a block of its own.

    Raises InputError for a block that is in two places.
    """
    found: dict[str, list[Layer]] = {}
    block = ""
    for layer in layers:
        if not block or not layer.name.startswith(f"{block}."):
            block = layer.name.rpartition(".")[0] or layer.name
            if block in found:
                raise InputError(
                    f"{called}: its layers {found[block][0].name!r} and {layer.name!r} belong to one block by their names, "
                    "but others stand between them; a layer is called BLOCK.layer, and the layers of a block follow each other"
                )
            found[block] = []
        found[block].append(layer)
    return {name: tuple(inside) for name, inside in found.items()}


def derive_segments(space: SearchSpace, walk: WholeWalk, called: str) -> tuple[Segment, ...]:
    """The segments of a walk, which errors name as it is ``called``.

    Raises InputError where a block depends on too many dimensions for a table, where blocks change their order, and
    where the walk says different things of the same arch.
    """
    walked = WalkedBlocks(space, walk, called)
    archs = space.decode(space.sample(HELD_AGAINST, np.random.default_rng(0)))
    found = first_dependences(walked)
    while sum(mended(walked, arch, found) for arch in archs):
        pass
    segments = [segment_of(walked, block, found[block]) for block in block_order(walked, archs)]
    return tuple(
        segment
        if all(agrees(walked, segment, arch) for arch in archs)
        else plain_segment(walked, segment.name, found[segment.name])
        for segment in segments
    )


def first_dependences(walked: WalkedBlocks) -> dict[str, Dependence]:
    """What changing one dimension at a time shows, from the smallest, the middle and the largest arch."""
    found: dict[str, Dependence] = {}
    dimensions = walked.space.dimensions
    for place in (lambda n: n - 1, lambda n: n // 2, lambda _: 0):
        start = {d.name: d.choices[place(len(d.choices))] for d in dimensions}
        for d in dimensions:
            for choice in d.choices:
                note_change(found, d.name, walked.at(start), walked.at({**start, d.name: choice}))
    return found


def note_change(found: dict[str, Dependence], dimension: str, before: Pieces, after: Pieces) -> None:
    """Which blocks changed as a dimension did."""
    for block in {**before, **after}:
        one, other = before.get(block), after.get(block)
        known = found.setdefault(block, Dependence())
        if one != other:
            (known.inside if one and other else known.presence).add(dimension)


def mended(walked: WalkedBlocks, arch: Arch, found: dict[str, Dependence]) -> bool:
    """Whether an arch showed more dimensions of a block than were known; they are added."""
    truth, more = walked.at(arch.values), False
    for block in {**truth, **dict.fromkeys(found)}:
        known = found.setdefault(block, Dependence())
        while walked.of(block, choices_on(arch, known.all)) != truth.get(block, ()):
            before = len(known.inside) + len(known.presence)
            for dimension, one, other in steps(walked, choices_on(arch, known.all), arch.values):
                note_change(found, dimension, one, other)
            if len(known.inside) + len(known.presence) == before:
                raise InputError(
                    f"{walked.called}: layers(arch) gives different layers for the same arch, {arch}"
                )
            more = True
    return more


def choices_on(arch: Arch, names: Iterable[str]) -> dict[str, Choice]:
    """The choices of an arch on some dimensions, as far as it has them."""
    return {name: arch.values[name] for name in names if name in arch.values}


def steps(
    walked: WalkedBlocks, start: Mapping[str, Choice], end: Mapping[str, Choice]
) -> Iterator[tuple[str, Pieces, Pieces]]:
    """From one arch to another, one dimension at a time: which changed, and the blocks before and after."""
    values = dict(start)
    for name, choice in end.items():
        before = walked.at(values)
        values[name] = choice
        yield name, before, walked.at(values)


def block_order(walked: WalkedBlocks, archs: Iterable[Arch]) -> list[str]:
    """All blocks in an order that every arch has. Raises InputError where there is none."""
    graph = graphlib.TopologicalSorter[str]()
    for arch in (walked.space.largest(), walked.space.smallest(), *archs):
        names = list(walked.at(arch.values))
        graph.add(names[0])
        for before, after in pairwise(names):
            graph.add(after, before)
    try:
        return list(graph.static_order())
    except graphlib.CycleError as error:
        raise InputError(
            f"{walked.called}: the blocks {some(dict.fromkeys(error.args[1]))} come in another order in other archs; give each "
            "place in the network a block of its own name"
        ) from error


def segment_of(walked: WalkedBlocks, block: str, known: Dependence) -> Segment:
    """With ``needs`` where one dimension alone decides whether the block is there, and nothing else in it."""
    needs = needed_depth(walked, block, known)
    if needs is None:
        return plain_segment(walked, block, known)
    return made_segment(walked, block, known.inside, needs)


def plain_segment(walked: WalkedBlocks, block: str, known: Dependence) -> Segment:
    """A segment that has no layers where the block is skipped."""
    return made_segment(walked, block, known.all, None)


def made_segment(walked: WalkedBlocks, block: str, names: set[str], needs: tuple[str, int] | None) -> Segment:
    """Raises InputError where a table of the choices would be too large.

    Latency tables are told apart by resolution, so that every segment has it among its dimensions.
    """
    dimensions = [d for d in walked.space.dimensions if d.name in {*names, "resolution"}]
    combinations = math.prod(len(d.choices) for d in dimensions)
    if combinations > MOST_TABLE_ENTRIES:
        raise InputError(
            f"{walked.called}: the layers of block {block!r} depend on {len(dimensions)} dimensions, "
            f"{some(d.name for d in dimensions)}, which have {combinations:,} combinations of choices; costs are summed over "
            f"blocks that depend on few, at most {MOST_TABLE_ENTRIES:,} combinations each. Call layers BLOCK.layer, so that "
            "more blocks depend on fewer, or let fewer choices decide a block's shapes"
        )
    return Segment(block, tuple(d.name for d in dimensions), partial(walked.of, block), needs)


def needed_depth(walked: WalkedBlocks, block: str, known: Dependence) -> tuple[str, int] | None:
    """The dimension, and its least value, with which the block is there; None where that is not all there is to it."""
    if len(known.presence) != 1 or known.presence & known.inside:
        return None
    [name] = known.presence
    dimension: Dimension = walked.space.by_name[name]
    there = [choice for choice in dimension.choices if walked.of(block, {name: choice})]
    if dimension.needs is not None or not there or not isinstance(there[0], int):
        return None
    return (
        (name, there[0])
        if all(choice in there or choice < there[0] for choice in dimension.choices)
        else None
    )


def agrees(walked: WalkedBlocks, segment: Segment, arch: Arch) -> bool:
    """Whether a segment has the layers of an arch by its own dimensions alone."""
    layers = segment.layers(choices_on(arch, segment.dimensions)) if segment.is_in(arch.values) else ()
    return layers == walked.of(segment.name, arch.values)
