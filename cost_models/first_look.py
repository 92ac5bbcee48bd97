"""A first look at a supernet: how many subnets it has, what they cost, and what it is built of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from cost_models.protocol import Target
from cost_models.registry import build
from supernet.archs.arch import Arch
from supernet.archs.layers import Layer, Segment
from supernet.errors import InputError
from supernet.families.catalog import Supernet

LOOKED_AT_COSTS = ("macs", "params", "peak_memory_bytes")
SAMPLED_ARCHS = 10_000
"""Archs that a median is of, each choice uniform."""
KINDS_OF_CHOICE = ("depth", "kernel", "expand", "width")


@dataclass(frozen=True)
class SpreadOfCost:
    """Of a cost over all subnets: the least and the greatest, exactly, and the median of random ones."""

    least: float
    median: float
    greatest: float


@dataclass(frozen=True)
class StageLook:
    """Layers of the largest subnet that go together: their maps, width and choices by kind.

    ``macs`` and ``params`` are those of the largest subnet.
    """

    name: str
    in_size: int
    out_size: int
    width: int
    choices: Mapping[str, tuple[int | float, ...]]
    acts: tuple[str, ...]
    gated: bool
    macs: int
    params: int


@dataclass(frozen=True)
class FirstLook:
    """What there is to know of a supernet before anything is trained or measured.

    ``weights`` and ``weights_bytes`` are of the whole supernet, that is of its largest subnet and what makes small kernels
    of large ones, as a safetensors file.
    """

    name: str
    classes: int
    channels: int
    resolutions: tuple[int, ...]
    subnets: int
    costs: Mapping[str, SpreadOfCost]
    weights: int
    weights_bytes: int
    stages: tuple[StageLook, ...]


def looked_at_first(supernet: Supernet) -> FirstLook:
    """All of it, computed. Raises InputError for a supernet that describes no layers."""
    from supernet.families.weights_size import size_of_weights

    if not supernet.segments:
        raise InputError(f"{supernet.name} describes no layers: nothing is known of its costs")
    space, largest = supernet.space, supernet.space.largest()
    weights, weights_bytes = size_of_weights(supernet.family.elastic)
    return FirstLook(
        name=supernet.name, classes=len(supernet.classes), channels=supernet.layers(largest)[0].in_channels,
        resolutions=tuple(int(choice) for choice in space.by_name["resolution"].choices), subnets=space.size,
        costs=spreads(supernet), weights=weights, weights_bytes=weights_bytes,
        stages=tuple(stage_looks(supernet, largest)),
    )  # fmt: skip


def spreads(supernet: Supernet) -> dict[str, SpreadOfCost]:
    """Of each cost that follows from shapes alone."""
    codes = supernet.space.sample(SAMPLED_ARCHS, np.random.default_rng(0))
    found = {}
    for name in LOOKED_AT_COSTS:
        cost = build(name, Target(supernet))
        reach = cost.reach()
        found[name] = SpreadOfCost(reach.minimum, float(np.median(cost.batch(codes))), reach.maximum)
    return found


def stage_looks(supernet: Supernet, largest: Arch) -> Iterator[StageLook]:
    """A look for each run of segments whose names begin alike: ``stage1.block1``, ``stage1.block2``."""
    there = [segment for segment in supernet.segments if segment.is_in(largest.values)]
    for name, group in groupby(there, key=lambda segment: segment.name.partition(".")[0]):
        segments = list(group)
        layers = [layer for segment in segments for layer in segment.layers(largest.values)]
        yield stage_look(name, layers, choices_of(supernet, segments))


def stage_look(
    name: str, layers: Sequence[Layer], choices: Mapping[str, tuple[int | float, ...]]
) -> StageLook:
    return StageLook(
        name, layers[0].in_size, layers[-1].out_size, layers[-1].out_channels, choices,
        acts=tuple(dict.fromkeys(layer.act for layer in layers if layer.act and layer.out_size > 1)),
        gated=any(layer.op == "scale" for layer in layers),
        macs=sum(layer.macs for layer in layers), params=sum(layer.params for layer in layers),
    )  # fmt: skip


def choices_of(supernet: Supernet, segments: Sequence[Segment]) -> dict[str, tuple[int | float, ...]]:
    """All choices by kind of the dimensions that segments depend on, but the resolution."""
    names = {name for segment in segments for name in segment.dimensions}
    names |= {segment.needs[0] for segment in segments if segment.needs is not None}
    found = {}
    for kind in KINDS_OF_CHOICE:
        mine = [d for d in supernet.space.dimensions if d.name in names and d.kind == kind]
        if mine:
            found[kind] = tuple(sorted({choice for d in mine for choice in d.choices}))
    return found
