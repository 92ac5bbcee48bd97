"""OFA's ResNet50D supernet (Cai et al., ICLR 2020), on ``ofa``'s own ``OFAResNets``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from supernet import documents
from supernet.archs.arch import Arch, Choice
from supernet.archs.layers import SHORTCUT, Layer, Segment
from supernet.archs.space import Dimension, SearchSpace
from supernet.bounds import FREE_RESOLUTIONS
from supernet.families.catalog import Family, label_names
from supernet.networks.inverted_residuals import make_divisible

if TYPE_CHECKING:
    from torch import Tensor, nn

    from supernet.networks.ofa_networks import OfaNet

RESOLUTIONS = tuple(range(128, 225, 4))
WIDTHS, EXPANDS = (0.65, 0.8, 1.0), (0.2, 0.25, 0.35)
STEM_DEPTHS = (2, 3)
"""Convolutions of the stem; the third is a residual one between the other two."""
STEM_WIDTH = 64
STAGE_WIDTHS = (256, 512, 1024, 2048)
STAGE_STRIDES = (1, 2, 2, 2)
LEAST_DEPTHS, MORE = (2, 2, 4, 2), 2
"""Blocks of each stage at least, and how many more there may be."""
KERNEL = 3

Values = Mapping[str, Choice]


class NetworkKeys(documents.Document):
    classes: str | tuple[str, ...]


class Bottleneck(NamedTuple):
    """Channels and sizes of one block; ``projected`` where its shortcut pools and convolves."""

    name: str
    in_channels: int
    mid_channels: int
    out_channels: int
    in_size: int
    stride: int
    projected: bool

    @property
    def out_size(self) -> int:
        return math.ceil(self.in_size / self.stride)

    def layers(self) -> Iterator[Layer]:
        name, inp, mid, out = self.name, self.in_channels, self.mid_channels, self.out_channels
        size, small = self.in_size, self.out_size
        held = inp * size**2
        if self.projected:
            yield Layer(f"{name}.{SHORTCUT}.pool", "pool", inp, inp, size, small, self.stride, self.stride)
            yield Layer(f"{name}.{SHORTCUT}", "conv", inp, out, small, small, norm=True, held=held)
            held = out * small**2
        yield Layer(
            f"{name}.reduce", "conv", inp, mid, size, size, norm=True, act="relu",
            held=held if self.projected else 0,  # else the shortcut is its input
        )  # fmt: skip
        yield Layer(
            f"{name}.middle", "conv", mid, mid, size, small, KERNEL, self.stride,
            norm=True, act="relu", held=held,
        )  # fmt: skip
        yield Layer(f"{name}.expand", "conv", mid, out, small, small, norm=True, held=held)
        yield Layer(f"{name}.add", "add", out, out, small, small, act="relu", held=held)


def parse(name: str, network: Mapping[str, Any], where: str) -> Family:
    """The family of the ``network`` key of a supernet's YAML."""
    classes = label_names(documents.check(dict(network), NetworkKeys, f"{where}: network").classes)
    return Family(
        classes=classes,
        space=space(name),
        segments=segments(len(classes)),
        elastic=partial(elastic, len(classes)),
        static=partial(static, len(classes)),
    )


def space(name: str) -> SearchSpace:
    """Dimensions ``resolution``; ``depth.0`` and ``width.0.1``, ``width.0.2`` of the stem; then those of stages.

    ``width.0.1`` is that of the stem's first convolutions, ``width.0.2`` that of its last.
    """
    dimensions = [
        Dimension("resolution", RESOLUTIONS, free=FREE_RESOLUTIONS),
        Dimension("depth.0", STEM_DEPTHS),
        Dimension("width.0.1", WIDTHS),
        Dimension("width.0.2", WIDTHS),
    ]
    for s, least in enumerate(LEAST_DEPTHS, 1):
        dimensions.append(Dimension(f"depth.{s}", tuple(range(least, least + MORE + 1))))
        dimensions.append(Dimension(f"width.{s}", WIDTHS))
        for b in range(1, least + MORE + 1):
            dimensions.append(Dimension(f"expand.{s}.{b}", EXPANDS, (f"depth.{s}", b)))
    return SearchSpace(name, tuple(dimensions))


def stem_width(values: Values) -> int:
    """Channels within the stem."""
    return make_divisible(make_divisible(STEM_WIDTH * values["width.0.1"]) // 2)


def width(stage: int, values: Values) -> int:
    """Channels behind stage ``stage``; 0 is the stem."""
    if stage == 0:
        return make_divisible(STEM_WIDTH * values["width.0.2"])
    return make_divisible(STAGE_WIDTHS[stage - 1] * values[f"width.{stage}"])


def stem_sizes(resolution: int) -> tuple[int, int]:
    """Sides of the map within the stem, and behind its max pooling."""
    within = math.ceil(resolution / 2)
    return within, math.ceil(within / 2)


def stage_in_size(stage: int, resolution: int) -> int:
    size = stem_sizes(resolution)[1]
    for stride in STAGE_STRIDES[: stage - 1]:
        size = math.ceil(size / stride)
    return size


def block(stage: int, position: int, values: Values) -> Bottleneck:
    """Block ``position`` of stage ``stage`` (both from 1)."""
    first = position == 1
    size = stage_in_size(stage, int(values["resolution"]))
    stride = STAGE_STRIDES[stage - 1]
    out = width(stage, values)
    return Bottleneck(
        name=f"stage{stage}.block{position}",
        in_channels=width(stage - 1, values) if first else out,
        mid_channels=make_divisible(round(out * values[f"expand.{stage}.{position}"])),
        out_channels=out,
        in_size=size if first else math.ceil(size / stride),
        stride=stride if first else 1,
        projected=first,
    )


def positions() -> list[tuple[int, int]]:
    """(stage, position) of every block, in order."""
    return [(s, b) for s, least in enumerate(LEAST_DEPTHS, 1) for b in range(1, least + MORE + 1)]


def segments(classes: int) -> tuple[Segment, ...]:
    """The one walk over the network."""

    def first(values: Values) -> tuple[Layer, ...]:
        r, inner = int(values["resolution"]), stem_width(values)
        size, _ = stem_sizes(r)
        return (Layer("stem1", "conv", 3, inner, r, size, KERNEL, 2, norm=True, act="relu"),)

    def second(values: Values) -> tuple[Layer, ...]:
        inner, (size, _) = stem_width(values), stem_sizes(int(values["resolution"]))
        return (
            Layer("stem2", "conv", inner, inner, size, size, KERNEL, norm=True, act="relu"),
            Layer("stem2.add", "add", inner, inner, size, size, held=inner * size**2),
        )

    def third(values: Values) -> tuple[Layer, ...]:
        inner, out = stem_width(values), width(0, values)
        size, pooled = stem_sizes(int(values["resolution"]))
        return (
            Layer("stem3", "conv", inner, out, size, size, KERNEL, norm=True, act="relu"),
            Layer("stem3.pool", "pool", out, out, size, pooled, KERNEL, 2),
        )

    def bottleneck(stage: int, position: int) -> Segment:
        def block_layers(values: Values) -> tuple[Layer, ...]:
            return tuple(block(stage, position, values).layers())

        before = ("width.0.2" if stage == 1 else f"width.{stage - 1}",) if position == 1 else ()
        return Segment(
            f"stage{stage}.block{position}",
            ("resolution", *before, f"width.{stage}", f"expand.{stage}.{position}"),
            block_layers,
            needs=(f"depth.{stage}", position),
        )

    def head(values: Values) -> tuple[Layer, ...]:
        size = stage_in_size(len(STAGE_WIDTHS) + 1, int(values["resolution"]))
        last = width(len(STAGE_WIDTHS), values)
        return (
            Layer("head.pool", "pool", last, last, size, 1),
            Layer("classifier", "linear", last, classes, 1, 1, bias=True),
        )

    return (
        Segment("stem1", ("resolution", "width.0.1"), first),
        Segment("stem2", ("resolution", "width.0.1"), second, needs=("depth.0", STEM_DEPTHS[1])),
        Segment("stem3", ("resolution", "width.0.1", "width.0.2"), third),
        *(bottleneck(s, b) for s, b in positions()),
        Segment("head", ("resolution", f"width.{len(STAGE_WIDTHS)}"), head),
    )


def blocks(values: Values) -> list[tuple[int, Bottleneck]]:
    """The blocks that ``values`` do not skip, each with its place among all, in order."""
    return [(i, block(s, b, values)) for i, (s, b) in enumerate(positions()) if values[f"depth.{s}"] >= b]


def elastic(classes: int) -> OfaNet:
    from ofa.imagenet_classification.elastic_nn.networks import OFAResNets

    from supernet.networks.ofa_networks import OfaNet

    net = OFAResNets(
        n_classes=classes, dropout_rate=0, depth_list=list(range(MORE + 1)),
        expand_ratio_list=list(EXPANDS), width_mult_list=list(WIDTHS),
    )  # fmt: skip
    return OfaNet(net, run_resnet, partial(cut, classes))


def run_resnet(net: Any, x: Tensor, values: Values) -> Tensor:
    """Logits of a subnet of an ``OFAResNets``, without its active state; ``ofa``'s modules have no types."""
    first, second, third = net.input_stem
    inner, out = stem_width(values), width(0, values)
    x = run_elastic_layer(first, x, inner)
    if values["depth.0"] == STEM_DEPTHS[1]:
        x = x + run_elastic_layer(second.conv, x, inner)
    x = net.max_pooling(run_elastic_layer(third, x, out))
    for place, b in blocks(values):
        x = run_bottleneck(net.blocks[place], b, x)
    logits: Tensor = net.classifier(net.global_avg_pool(x))
    return logits


def run_elastic_layer(layer: Any, x: Tensor, out: int) -> Tensor:
    """An elastic convolution with its norm and, where it has one, activation: (n, c, s, s) to (n, out, s', s')."""
    y: Tensor = layer.bn(layer.conv(x, out))
    return layer.act(y) if hasattr(layer, "act") else y


def run_bottleneck(elastic: Any, b: Bottleneck, x: Tensor) -> Tensor:
    shortcut = x
    if b.projected:
        shortcut = run_elastic_layer(elastic.downsample, elastic.downsample.avg_pool(x), b.out_channels)
    y = run_elastic_layer(elastic.conv2, run_elastic_layer(elastic.conv1, x, b.mid_channels), b.mid_channels)
    y = run_elastic_layer(elastic.conv3, y, b.out_channels) + shortcut
    out: Tensor = elastic.final_act(y)
    return out


def static(classes: int, arch: Arch) -> nn.Module:
    """``ofa``'s static ``ResNets`` of an arch: images (n, 3, r, r) to logits (n, classes)."""
    from ofa.imagenet_classification.networks import ResNets
    from ofa.utils.layers import ConvLayer, IdentityLayer, LinearLayer, ResidualBlock, ResNetBottleneckBlock

    values = arch.values
    inner, out = stem_width(values), width(0, values)
    stem = [ConvLayer(3, inner, KERNEL, stride=2, act_func="relu")]
    if values["depth.0"] == STEM_DEPTHS[1]:
        convolution = ConvLayer(inner, inner, KERNEL, act_func="relu")
        stem.append(ResidualBlock(convolution, IdentityLayer(inner, inner)))
    stem.append(ConvLayer(inner, out, KERNEL, act_func="relu"))
    bottlenecks = [
        ResNetBottleneckBlock(
            b.in_channels, b.out_channels, KERNEL, b.stride, mid_channels=b.mid_channels, act_func="relu"
        )
        for _, b in blocks(values)
    ]
    made: nn.Module = ResNets(stem, bottlenecks, LinearLayer(width(len(STAGE_WIDTHS), values), classes))
    return made


def cut(classes: int, net: Any, arch: Arch) -> nn.Module:
    """The subnet of an ``OFAResNets``; ``ofa``'s modules have no types."""
    from supernet.networks.ofa_networks import copy_elastic_layer

    values = arch.values
    subnet: Any = static(classes, arch)
    copy_elastic_layer(net.input_stem[0], subnet.input_stem[0])
    copy_elastic_layer(net.input_stem[2], subnet.input_stem[-1])
    if len(subnet.input_stem) == len(net.input_stem):
        copy_elastic_layer(net.input_stem[1].conv, subnet.input_stem[1].conv)
    for (place, b), target in zip(blocks(values), subnet.blocks, strict=True):
        source = net.blocks[place]
        for name in ("conv1", "conv2", "conv3", *(("downsample",) if b.projected else ())):
            copy_elastic_layer(getattr(source, name), getattr(target, name))
    elastic, linear = net.classifier.linear, subnet.classifier.linear
    linear.weight.copy_(elastic.get_active_weight(linear.out_features, linear.in_features))
    linear.bias.copy_(elastic.get_active_bias(linear.out_features))
    made: nn.Module = subnet
    return made
