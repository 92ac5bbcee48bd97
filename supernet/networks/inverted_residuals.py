"""Supernets of inverted residual blocks: the description that space, layers and networks are made from.

MobileNetV3's are of them, and ProxylessNAS's, without gates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from supernet.archs.arch import Choice
from supernet.archs.layers import Layer, Segment
from supernet.archs.space import Dimension, SearchSpace

CHANNEL_DIVISOR = 8
SE_REDUCTION = 4


def make_divisible(channels: float, divisor: int = CHANNEL_DIVISOR) -> int:
    """Nearest multiple of ``divisor`` that loses at most a tenth (Howard et al., 2019)."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


@dataclass(frozen=True)
class Stage:
    """Blocks of one width; the first one changes width and stride."""

    width: int
    stride: int
    act: str
    se: bool
    depths: tuple[int, ...]
    kernels: tuple[int, ...]
    expands: tuple[int, ...]


@dataclass(frozen=True)
class MobileNetV3Spec:
    """A supernet: stem convolution, one fixed block, elastic stages, head, classifier.

    ``mix_width`` is the width of a layer between the pooled head and the classifier, if
    there is one; ``norm_eps`` is added to the variance in every batch norm; ``free_resolutions`` are the least and the
    greatest that may be asked for beside those that it was trained at.
    """

    name: str
    classes: int
    in_channels: int
    resolutions: tuple[int, ...]
    stem_width: int
    stem_stride: int
    first_width: int
    first_stride: int
    head_width: int
    stages: tuple[Stage, ...]
    stem_act: str = "h_swish"
    first_act: str = "relu"
    first_shortcut: bool = False
    head_act: str = "h_swish"
    mix_width: int | None = None
    norm_eps: float = 1e-5
    free_resolutions: tuple[int, int] | None = None


@dataclass(frozen=True)
class Block:
    """One static inverted residual block.

    ``expand`` is False where mid equals in and nothing expands; ``residual`` where a shortcut
    is meant if shapes allow it.
    """

    name: str
    in_channels: int
    mid_channels: int
    out_channels: int
    in_size: int
    kernel: int
    stride: int
    act: str
    se: bool
    expand: bool = True
    residual: bool = True

    @property
    def out_size(self) -> int:
        return math.ceil(self.in_size / self.stride)

    @property
    def shortcut(self) -> bool:
        return self.residual and self.stride == 1 and self.in_channels == self.out_channels

    @property
    def se_channels(self) -> int:
        return make_divisible(self.mid_channels // SE_REDUCTION)

    def layers(self) -> Iterator[Layer]:
        inp, mid, out, size = self.in_channels, self.mid_channels, self.out_channels, self.in_size
        held = inp * size**2 if self.shortcut else 0
        if self.expand:
            yield Layer(f"{self.name}.expand", "conv", inp, mid, size, size, norm=True, act=self.act)
        yield Layer(
            f"{self.name}.depthwise", "depthwise", mid, mid, size, self.out_size,
            kernel=self.kernel, stride=self.stride, norm=True, act=self.act,
            held=held if self.expand else 0,  # what is not expanded is its own input
        )  # fmt: skip
        if self.se:
            squeezed, gated = self.se_channels, held + mid * self.out_size**2
            name = f"{self.name}.se"
            yield Layer(f"{name}.pool", "pool", mid, mid, self.out_size, 1, held=held)
            yield Layer(f"{name}.reduce", "conv", mid, squeezed, 1, 1, bias=True, act="relu", held=gated)
            yield Layer(f"{name}.expand", "conv", squeezed, mid, 1, 1, bias=True, act="h_sigmoid", held=gated)
            yield Layer(f"{name}.scale", "scale", mid, mid, self.out_size, self.out_size, held=held + mid)
        yield Layer(
            f"{self.name}.project", "conv", mid, out, self.out_size, self.out_size, norm=True, held=held
        )
        if self.shortcut:
            yield Layer(f"{self.name}.add", "add", out, out, self.out_size, self.out_size, held=held)


def space(spec: MobileNetV3Spec) -> SearchSpace:
    """Dimensions ``resolution``, then ``depth.S``, and ``kernel.S.B``, ``expand.S.B`` from 1."""
    dimensions = [Dimension("resolution", spec.resolutions, free=spec.free_resolutions)]
    for s, stage in enumerate(spec.stages, 1):
        dimensions.append(Dimension(f"depth.{s}", stage.depths))
        for b in range(1, max(stage.depths) + 1):
            needs = (f"depth.{s}", b)
            dimensions.append(Dimension(f"kernel.{s}.{b}", stage.kernels, needs))
            dimensions.append(Dimension(f"expand.{s}.{b}", stage.expands, needs))
    return SearchSpace(spec.name, tuple(dimensions))


def stem_size(spec: MobileNetV3Spec, resolution: int) -> int:
    return math.ceil(resolution / spec.stem_stride)


def first_block(spec: MobileNetV3Spec, resolution: int) -> Block:
    """The fixed depthwise-separable block behind the stem."""
    width = spec.stem_width
    return Block(
        "first", width, width, spec.first_width, stem_size(spec, resolution),
        kernel=3, stride=spec.first_stride, act=spec.first_act, se=False, expand=False,
        residual=spec.first_shortcut,
    )  # fmt: skip


def stage_in_size(spec: MobileNetV3Spec, stage: int, resolution: int) -> int:
    """Side of the map that enters stage ``stage`` (from 1)."""
    size = first_block(spec, resolution).out_size
    for previous in spec.stages[: stage - 1]:
        size = math.ceil(size / previous.stride)
    return size


def block(spec: MobileNetV3Spec, stage: int, position: int, values: Mapping[str, Choice]) -> Block:
    """Block ``position`` of stage ``stage`` (both from 1)."""
    s = spec.stages[stage - 1]
    size = stage_in_size(spec, stage, int(values["resolution"]))
    first = position == 1
    previous = spec.first_width if stage == 1 else spec.stages[stage - 2].width
    inp = previous if first else s.width
    return Block(
        name=f"stage{stage}.block{position}",
        in_channels=inp,
        mid_channels=make_divisible(round(inp * values[f"expand.{stage}.{position}"])),
        out_channels=s.width,
        in_size=size if first else math.ceil(size / s.stride),
        kernel=int(values[f"kernel.{stage}.{position}"]),
        stride=s.stride if first else 1,
        act=s.act,
        se=s.se,
    )


def positions(spec: MobileNetV3Spec) -> list[tuple[int, int]]:
    """(stage, position) of every elastic block, in order."""
    return [(s, b) for s, stage in enumerate(spec.stages, 1) for b in range(1, max(stage.depths) + 1)]


def blocks(spec: MobileNetV3Spec, values: Mapping[str, Choice]) -> list[tuple[tuple[int, int], Block]]:
    """The elastic blocks that ``values`` do not skip, each with its (stage, position), in order."""
    return [((s, b), block(spec, s, b, values)) for s, b in positions(spec) if values[f"depth.{s}"] >= b]


def segments(spec: MobileNetV3Spec) -> tuple[Segment, ...]:
    """The one walk over the network."""

    def stem(values: Mapping[str, Choice]) -> tuple[Layer, ...]:
        r = int(values["resolution"])
        size = stem_size(spec, r)
        conv = Layer(
            "stem", "conv", spec.in_channels, spec.stem_width, r, size,
            kernel=3, stride=spec.stem_stride, norm=True, act=spec.stem_act,
        )  # fmt: skip
        return (conv, *first_block(spec, r).layers())

    def elastic(stage: int, position: int) -> Segment:
        def block_layers(values: Mapping[str, Choice]) -> tuple[Layer, ...]:
            return tuple(block(spec, stage, position, values).layers())

        here = f"{stage}.{position}"
        return Segment(
            f"stage{stage}.block{position}",
            ("resolution", f"kernel.{here}", f"expand.{here}"),
            block_layers,
            needs=(f"depth.{stage}", position),
        )

    def head(values: Mapping[str, Choice]) -> tuple[Layer, ...]:
        size = stage_in_size(spec, len(spec.stages) + 1, int(values["resolution"]))
        width, last = spec.head_width, spec.stages[-1].width
        act, mixed = spec.head_act, spec.mix_width or width
        mix = (Layer("mix", "conv", width, mixed, 1, 1, act=act),) if spec.mix_width else ()
        return (
            Layer("head", "conv", last, width, size, size, norm=True, act=act),
            Layer("head.pool", "pool", width, width, size, 1),
            *mix,
            Layer("classifier", "linear", mixed, spec.classes, 1, 1, bias=True),
        )

    return (
        Segment("stem", ("resolution",), stem),
        *(elastic(s, b) for s, b in positions(spec)),
        Segment("head", ("resolution",), head),
    )
