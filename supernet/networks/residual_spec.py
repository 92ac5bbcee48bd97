"""Networks of residual blocks as they are trained by others: the description that space, layers and networks are made from.

Stem, stages of blocks, maybe a head convolution, maybe a layer that mixes the pooled features, classifier: torchvision's
ResNet, MobileNetV2 and MobileNetV3 are of these. Elastic are the number of blocks of a stage, of which the first alone
changes shapes, and the inner channels of each block.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from supernet.archs.arch import Choice
from supernet.archs.layers import SHORTCUT, Layer, Segment
from supernet.archs.space import Dimension, SearchSpace
from supernet.networks.inverted_residuals import make_divisible

POOL_KERNEL, POOL_STRIDE = 3, 2
"""Of the max pooling behind a stem."""
BASIC, BOTTLENECK, INVERTED = "basic", "bottleneck", "inverted"
"""Two convolutions; three, of which the middle one is wide in space; three, of which it is depthwise."""


@dataclass(frozen=True)
class BlockSpec:
    """One block as it was trained: ``inner`` channels between its convolutions, ``squeeze`` of them in its gate, if any.

    ``kernel`` and ``stride`` are those of its first convolution that sees more than a pixel. ``expands`` is False where
    an inverted block has no convolution before the depthwise one, and ``inner`` are the channels that come in.
    """

    inner: int
    kernel: int = 3
    stride: int = 1
    act: str = "relu"
    squeeze: int | None = None
    expands: bool = True


@dataclass(frozen=True)
class StageSpec:
    """Blocks of one width behind each other; the first may change width and stride."""

    width: int
    blocks: tuple[BlockSpec, ...]


@dataclass(frozen=True)
class StemSpec:
    """The first convolution; ``pool`` where max pooling follows it."""

    width: int
    kernel: int = 3
    stride: int = 2
    act: str = "relu"
    pool: bool = False


@dataclass(frozen=True)
class HeadSpec:
    """A convolution behind the last stage; ``mix`` is the width of a layer behind its mean, if there is one."""

    width: int
    act: str
    mix: int | None = None


@dataclass(frozen=True)
class ResidualSpec:
    """A whole network of one ``kind`` of blocks, and what is elastic of it.

    ``expands`` are shares of the inner channels, of which the largest is 1; ``norm_eps`` and ``norm_momentum`` are those
    of every batch norm.
    """

    name: str
    kind: str
    classes: int
    in_channels: int
    resolutions: tuple[int, ...]
    free_resolutions: tuple[int, int]
    expands: tuple[float, ...]
    stem: StemSpec
    stages: tuple[StageSpec, ...]
    head: HeadSpec | None
    norm_eps: float
    norm_momentum: float

    @property
    def features(self) -> int:
        """Channels whose means are classified or mixed."""
        return self.head.width if self.head else self.stages[-1].width


class BlockStep(NamedTuple):
    """One convolution of a block, with its batch norm; ``depthwise`` where each channel is by itself."""

    name: str
    in_channels: int
    out_channels: int
    kernel: int = 1
    stride: int = 1
    act: str | None = None
    depthwise: bool = False


@dataclass(frozen=True)
class ResidualBlock:
    """One block of a subnet: ``inner`` channels of ``trained``, between ``in_channels`` and ``out_channels``."""

    name: str
    kind: str
    trained: BlockSpec
    in_channels: int
    inner: int
    out_channels: int
    in_size: int = 1

    @property
    def out_size(self) -> int:
        return math.ceil(self.in_size / self.trained.stride)

    @property
    def keeps_shape(self) -> bool:
        return self.trained.stride == 1 and self.in_channels == self.out_channels

    @property
    def adds(self) -> bool:
        """Whether anything runs beside it: a ResNet's shortcut is convolved where shapes differ."""
        return self.keeps_shape or self.kind != INVERTED

    @property
    def projected(self) -> bool:
        return self.adds and not self.keeps_shape

    @property
    def act_behind(self) -> str | None:
        """What follows the sum."""
        return None if self.kind == INVERTED else self.trained.act

    @property
    def steps(self) -> tuple[BlockStep, ...]:
        """Its convolutions one after the other, without that of the shortcut."""
        inp, mid, out, own = self.in_channels, self.inner, self.out_channels, self.trained
        wide = (own.kernel, own.stride, own.act)
        if self.kind == BASIC:
            return BlockStep("first", inp, mid, *wide), BlockStep("second", mid, out, own.kernel)
        if self.kind == BOTTLENECK:
            return (
                BlockStep("reduce", inp, mid, act=own.act),
                BlockStep("middle", mid, mid, *wide),
                BlockStep("expand", mid, out),
            )
        expand = (BlockStep("expand", inp, mid, act=own.act),) if own.expands else ()
        return (*expand, BlockStep("depthwise", mid, mid, *wide, True), BlockStep("project", mid, out))

    def layers(self) -> Iterator[Layer]:
        inp, out, size = self.in_channels, self.out_channels, self.in_size
        held = inp * size**2 if self.adds else 0
        if self.projected:
            yield Layer(
                f"{self.name}.{SHORTCUT}", "conv", inp, out, size, self.out_size, 1, self.trained.stride,
                norm=True,
            )  # fmt: skip
            held = out * self.out_size**2
        for place, step in enumerate(self.steps):
            size, before = math.ceil(size / step.stride), size
            yield Layer(
                f"{self.name}.{step.name}", "depthwise" if step.depthwise else "conv",
                step.in_channels, step.out_channels, before, size, step.kernel, step.stride,
                norm=True, act=step.act,
                held=held if place or self.projected else 0,  # else the shortcut is its input
            )  # fmt: skip
            if step.depthwise and self.trained.squeeze:
                yield from self.gate(self.trained.squeeze, size, held)
        if self.adds:
            yield Layer(f"{self.name}.add", "add", out, out, size, size, act=self.act_behind, held=held)

    def gate(self, squeezed: int, size: int, held: int) -> Iterator[Layer]:
        """Squeeze-and-excitation of the inner channels, whose own width stays as it was trained."""
        name, inner = f"{self.name}.se", self.inner
        gated = held + inner * size**2
        yield Layer(f"{name}.pool", "pool", inner, inner, size, 1, held=held)
        yield Layer(f"{name}.reduce", "conv", inner, squeezed, 1, 1, bias=True, act="relu", held=gated)
        yield Layer(f"{name}.expand", "conv", squeezed, inner, 1, 1, bias=True, act="h_sigmoid", held=gated)
        yield Layer(f"{name}.scale", "scale", inner, inner, size, size, held=held + inner)


def positions(spec: ResidualSpec) -> list[tuple[int, int]]:
    """(stage, position) of every block, in order."""
    return [(s, b) for s, stage in enumerate(spec.stages, 1) for b in range(1, len(stage.blocks) + 1)]


def kept_channels(inner: int, share: float) -> int:
    """So many of ``inner`` channels, in whole eights where there are enough."""
    return inner if share == 1 else min(inner, make_divisible(inner * share))


def shares(trained: BlockSpec, expands: tuple[float, ...]) -> tuple[float, ...]:
    """Of ``expands``, those that leave different numbers of channels; of several with the same the nearest to it."""
    if not trained.expands:
        return (1.0,)
    by_width: dict[int, float] = {}
    for share in sorted(expands):
        width = kept_channels(trained.inner, share)
        exact = width / trained.inner
        if width not in by_width or abs(share - exact) <= abs(by_width[width] - exact):
            by_width[width] = share
    return tuple(by_width.values())


def space(spec: ResidualSpec) -> SearchSpace:
    """Dimensions ``resolution``, then ``depth.S``, and ``expand.S.B`` from 1: a share of the inner channels."""
    dimensions = [Dimension("resolution", spec.resolutions, free=spec.free_resolutions)]
    for s, stage in enumerate(spec.stages, 1):
        dimensions.append(Dimension(f"depth.{s}", tuple(range(1, len(stage.blocks) + 1))))
        for b, trained in enumerate(stage.blocks, 1):
            choices = shares(trained, spec.expands)
            dimensions.append(Dimension(f"expand.{s}.{b}", choices, (f"depth.{s}", b)))
    return SearchSpace(spec.name, tuple(dimensions))


def stem_sizes(stem: StemSpec, resolution: int) -> tuple[int, int]:
    """Sides of the map behind the first convolution, and behind the pooling."""
    size = math.ceil(resolution / stem.stride)
    return size, math.ceil(size / POOL_STRIDE) if stem.pool else size


def size_before(spec: ResidualSpec, stage: int, position: int, resolution: int) -> int:
    """Side of the map that enters a block."""
    size = stem_sizes(spec.stem, resolution)[1]
    for before in (*spec.stages[: stage - 1], StageSpec(0, spec.stages[stage - 1].blocks[: position - 1])):
        for trained in before.blocks:
            size = math.ceil(size / trained.stride)
    return size


def block(spec: ResidualSpec, stage: int, position: int, values: Mapping[str, Choice]) -> ResidualBlock:
    """Block ``position`` of stage ``stage`` (both from 1)."""
    own = spec.stages[stage - 1]
    before = spec.stages[stage - 2].width if stage > 1 else spec.stem.width
    trained = own.blocks[position - 1]
    return ResidualBlock(
        name=f"stage{stage}.block{position}",
        kind=spec.kind,
        trained=trained,
        in_channels=before if position == 1 else own.width,
        inner=kept_channels(trained.inner, values[f"expand.{stage}.{position}"]),
        out_channels=own.width,
        in_size=size_before(spec, stage, position, int(values["resolution"])),
    )


def blocks(spec: ResidualSpec, values: Mapping[str, Choice]) -> list[tuple[int, ResidualBlock]]:
    """The blocks that ``values`` do not skip, each with its place among all, in order."""
    return [
        (i, block(spec, s, b, values))
        for i, (s, b) in enumerate(positions(spec))
        if values[f"depth.{s}"] >= b
    ]


def segments(spec: ResidualSpec) -> tuple[Segment, ...]:
    """The one walk over the network."""

    def stem(values: Mapping[str, Choice]) -> tuple[Layer, ...]:
        own, resolution = spec.stem, int(values["resolution"])
        size, pooled = stem_sizes(own, resolution)
        conv = Layer(
            "stem", "conv", spec.in_channels, own.width, resolution, size, own.kernel, own.stride,
            norm=True, act=own.act,
        )  # fmt: skip
        pool = Layer("stem.pool", "pool", own.width, own.width, size, pooled, POOL_KERNEL, POOL_STRIDE)
        return (conv, pool) if own.pool else (conv,)

    def elastic(stage: int, position: int) -> Segment:
        def block_layers(values: Mapping[str, Choice]) -> tuple[Layer, ...]:
            return tuple(block(spec, stage, position, values).layers())

        return Segment(
            f"stage{stage}.block{position}",
            ("resolution", f"expand.{stage}.{position}"),
            block_layers,
            needs=(f"depth.{stage}", position),
        )

    def head(values: Mapping[str, Choice]) -> tuple[Layer, ...]:
        size = size_before(spec, len(spec.stages), len(spec.stages[-1].blocks) + 1, int(values["resolution"]))
        own, features = spec.head, spec.features
        pool = Layer("head.pool", "pool", features, features, size, 1)
        classifier = Layer(
            "classifier", "linear", own.mix if own and own.mix else features, spec.classes, 1, 1, bias=True
        )
        if own is None:
            return pool, classifier
        conv = Layer("head", "conv", spec.stages[-1].width, features, size, size, norm=True, act=own.act)
        mix = (Layer("mix", "linear", features, own.mix, 1, 1, bias=True, act=own.act),) if own.mix else ()
        return conv, pool, *mix, classifier

    return (
        Segment("stem", ("resolution",), stem),
        *(elastic(s, b) for s, b in positions(spec)),
        Segment("head", ("resolution",), head),
    )
