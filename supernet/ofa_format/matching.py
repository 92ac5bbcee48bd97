"""Which arch of a shipped supernet has the layers of a network."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from supernet import documents
from supernet.archs.arch import Arch, Choice
from supernet.archs.layers import Layer, Segment
from supernet.archs.space import SearchSpace
from supernet.families.catalog import Supernet, open_supernet
from supernet.ofa_format.net_config import NetConfig


def shipped() -> list[Supernet]:
    """All supernets that come with oncefit."""
    return [open_supernet(name) for name in documents.names("supernets")]


def arch_of(
    config: NetConfig, image_size: int, among: Supernet | None = None
) -> tuple[Supernet, Arch] | None:
    """A supernet and its arch that has the same layers, whatever they are called; None if there is none.

    It is ``among``, or without it one that ships.
    """
    wanted = unnamed(config.layers(image_size))
    for supernet in [among] if among is not None else shipped():
        space = supernet.family.space
        if image_size in space.by_name["resolution"].choices:
            values = match(space, supernet.segments, wanted, {"resolution": image_size})
            if values is not None:
                return supernet, space.arch(values)
    return None


def unnamed(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    return tuple(replace(layer, name="") for layer in layers)


def match(
    space: SearchSpace, segments: Sequence[Segment], wanted: tuple[Layer, ...], values: Mapping[str, Choice]
) -> Mapping[str, Choice] | None:
    """``values`` with choices for which ``segments`` have the layers ``wanted`` and no others; None without any.

    Depth first: a wrong choice ends at its own segment or, where it is a depth, at the next stage.
    """
    if not segments:
        return values if not wanted else None
    first, rest = segments[0], segments[1:]
    for tried, layers in variants(space, first, values):
        here = unnamed(layers)
        if wanted[: len(here)] == here:
            found = match(space, rest, wanted[len(here) :], tried)
            if found is not None:
                return found
    return None


def variants(
    space: SearchSpace, segment: Segment, values: Mapping[str, Choice]
) -> Iterator[tuple[Mapping[str, Choice], tuple[Layer, ...]]]:
    """``values`` with each choice of what else the segment depends on, and its layers then."""
    for known in completed(space, segment.needs[:1] if segment.needs else (), values):
        if not segment.is_in(known):
            yield known, ()
            continue
        for tried in completed(space, segment.dimensions, known):
            yield tried, segment.layers({name: tried[name] for name in segment.dimensions})


def completed(
    space: SearchSpace, names: Iterable[str], values: Mapping[str, Choice]
) -> Iterator[Mapping[str, Choice]]:
    """``values`` with each combination of choices of those ``names`` that have none yet."""
    missing = [name for name in names if name not in values]
    for row in itertools.product(*(space.by_name[name].choices for name in missing)):
        yield {**values, **dict(zip(missing, row, strict=True))}
