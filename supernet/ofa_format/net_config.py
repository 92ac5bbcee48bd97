"""``ofa``'s net.config files: a static network in JSON, as the layers that every cost is summed over.

MCUNet's files are the same with the image size among their keys, NAT's with an address.

Blocks are those of the families (:class:`supernet.networks.inverted_residuals.Block` and the ResNet
``Bottleneck``), so that a network of a file and an arch of a space are walked by the same
code.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from supernet import documents
from supernet.archs.layers import Layer
from supernet.bounds import MOST
from supernet.errors import InputError, unknown
from supernet.families.ofa_resnet import Bottleneck
from supernet.networks.inverted_residuals import Block, make_divisible
from supernet.ofa_format import files
from supernet.ofa_format.net_config_keys import (
    BottleneckKeys,
    ConvKeys,
    IdentityKeys,
    InvertedKeys,
    LinearKeys,
    MobileNetV3Keys,
    ProxylessKeys,
    ResidualKeys,
    ResNetKeys,
)

MAX_POOLING = 3, 2
"""Kernel and stride of the pooling behind the stem of ``ofa``'s ResNets, which no file mentions."""

JsonKeys = Mapping[str, Any]


@dataclass(frozen=True)
class Part:
    """A piece of a network: its channels, and its layers for the side of the map that enters it."""

    name: str
    in_channels: int
    out_channels: int
    layers: Callable[[int], tuple[Layer, ...]]


@dataclass(frozen=True)
class NetConfig:
    """A static network; ``name`` is that of its class, ``image_size`` what its file gives, if it does."""

    name: str
    parts: tuple[Part, ...]
    image_size: int | None = None

    @property
    def classes(self) -> int:
        """Number of outputs."""
        return self.parts[-1].out_channels

    def layers(self, image_size: int) -> tuple[Layer, ...]:
        """All layers for square images of ``image_size`` pixels, in the order in which they run."""
        check_size(image_size)
        found: list[Layer] = []
        for part in self.parts:
            found += part.layers(found[-1].out_size if found else image_size)
        return tuple(found)


def check_size(image_size: int) -> None:
    if not 1 <= image_size <= MOST:
        raise InputError(f"an image size is a number of pixels from 1 to {MOST:,}, got {image_size}")


def read_net_config(path: Path) -> NetConfig:
    """The network of a net.config. Raises InputError for anything in it that would not be counted."""
    return parse_net_config(files.load(path), str(path))


def parse_net_config(data: JsonKeys, file: str) -> NetConfig:
    """The network of what was read from ``file``."""
    name = data.get("name")
    if name in SUPERNETS:
        raise InputError(
            f"{file} is the config of a whole supernet, {name}, not of a subnet: take the net.config that ofa "
            "writes of a subnet (net.get_active_subnet().config) or its settings ks, e, d and r, or name a "
            f"supernet in a search (supernet: {documents.names('supernets')[1]})"
        )
    if not isinstance(name, str) or name not in NETWORKS:
        raise unknown(f"network in {file}:", name, NETWORKS)
    parts = tuple(NETWORKS[name](data, file))
    for before, part in itertools.pairwise(parts):
        if before.out_channels != part.in_channels:
            raise InputError(
                f"{file}: {part.name} takes {part.in_channels} channels, "
                f"but {before.name} before it gives {before.out_channels}"
            )
    return NetConfig(name, parts, data.get("resolution"))


# -- networks ----------------------------------------------------------------


def mobilenet_v3(data: JsonKeys, file: str) -> Iterator[Part]:
    keys = documents.check(dict(data), MobileNetV3Keys, file)
    yield conv(keys.first_conv, file, "first_conv")
    yield from stack(keys.blocks, RESIDUAL, file, "blocks")
    head = conv(keys.final_expand_layer, file, "final_expand_layer")
    yield head
    yield pool("global_pool", head.out_channels)
    yield conv(keys.feature_mix_layer, file, "feature_mix_layer")
    yield linear(keys.classifier, file, "classifier")


def proxyless(data: JsonKeys, file: str) -> Iterator[Part]:
    keys = documents.check(dict(data), ProxylessKeys, file)
    body = [
        conv(keys.first_conv, file, "first_conv"),
        *stack(keys.blocks, RESIDUAL, file, "blocks"),
    ]
    if keys.feature_mix_layer is not None:
        body.append(conv(keys.feature_mix_layer, file, "feature_mix_layer"))
    yield from body
    yield pool("global_pool", body[-1].out_channels)
    yield linear(keys.classifier, file, "classifier")


def resnets(data: JsonKeys, file: str) -> Iterator[Part]:
    keys = documents.check(dict(data), ResNetKeys, file)
    stem = list(stack(keys.input_stem, STEM, file, "input_stem"))
    if not stem:
        raise InputError(f"{file}: input_stem holds no convolution, only skipped blocks")
    body = list(stack(keys.blocks, BOTTLENECK, file, "blocks"))
    yield from stem
    yield pool("max_pooling", stem[-1].out_channels, MAX_POOLING)
    yield from body
    yield pool("global_pool", (body or stem)[-1].out_channels)
    yield linear(keys.classifier, file, "classifier")


NETWORKS: Mapping[str, Callable[[JsonKeys, str], Iterator[Part]]] = {
    "MobileNetV3": mobilenet_v3,
    "NATNet": mobilenet_v3,
    "ProxylessNASNets": proxyless,
    "ResNets": resnets,
}
SUPERNETS = ("OFAMobileNetV3", "OFAProxylessNASNets", "OFAResNets", "AttentiveNasDynamicModel")
"""Classes of networks that hold subnets."""


# -- their parts -------------------------------------------------------------


def stack(objects: Sequence[JsonKeys], known: Mapping[str, Build], file: str, key: str) -> Iterator[Part]:
    """The parts of a list of blocks, without those that are skipped."""
    for i, data in enumerate(objects):
        name = f"{key}.{i}"
        part = known[named(data, known, "block", file, name)](data, file, name)
        if part is not None:
            yield part


def named(data: JsonKeys, known: Iterable[str], what: str, file: str, place: str) -> str:
    """The name of an object, one of ``known``."""
    name = data.get("name")
    if name not in (allowed := tuple(known)):
        raise unknown(f"{what} at {file}: {place}:", name, allowed)
    return str(name)


def conv(data: JsonKeys, file: str, name: str) -> Part:
    named(data, ("ConvLayer",), "layer", file, name)
    keys = documents.check(dict(data), ConvKeys, f"{file}: {name}")
    inp, out = keys.in_channels, keys.out_channels
    depthwise = keys.groups == inp == out > 1
    if keys.groups != 1 and not depthwise:
        raise InputError(
            f"{file}: {name}: groups: got {keys.groups}; allowed: 1, or as many as there are channels "
            f"on both sides ({inp} and {out} here)"
        )
    layer = Layer(
        name, "depthwise" if depthwise else "conv", inp, out, 0, 0, keys.kernel_size, keys.stride,
        bias=keys.bias, norm=keys.use_bn, act=act_of(keys),
    )  # fmt: skip
    return Part(
        name, inp, out, lambda size: (replace(layer, in_size=size, out_size=shrunk(size, keys.stride)),)
    )


def act_of(keys: ConvKeys | LinearKeys) -> str | None:
    return None if keys.act_func == "none" else keys.act_func


def shrunk(size: int, stride: int) -> int:
    return -(-size // stride)


def linear(data: JsonKeys, file: str, name: str) -> Part:
    named(data, ("LinearLayer",), "layer", file, name)
    keys = documents.check(dict(data), LinearKeys, f"{file}: {name}")
    inp, out = keys.in_features, keys.out_features
    layer = Layer(name, "linear", inp, out, 1, 1, bias=keys.bias, norm=keys.use_bn, act=act_of(keys))
    return Part(name, inp, out, lambda _: (layer,))


def pool(name: str, channels: int, window: tuple[int, int] | None = None) -> Part:
    """Pooling with a kernel and a stride, or of the whole map."""
    if window is None:
        return Part(
            name, channels, channels, lambda size: (Layer(name, "pool", channels, channels, size, 1),)
        )
    kernel, stride = window
    layer = Layer(name, "pool", channels, channels, 0, 0, kernel, stride)
    return Part(
        name, channels, channels,
        lambda size: (replace(layer, in_size=size, out_size=shrunk(size, stride)),),
    )  # fmt: skip


def residual(data: JsonKeys, file: str, name: str) -> Part | None:
    """A convolution or inverted block with its shortcut; None where it is skipped."""
    keys = documents.check(dict(data), ResidualKeys, f"{file}: {name}")
    shortcut = False
    if keys.shortcut is not None:
        kind = named(keys.shortcut, ("IdentityLayer", ZERO), "shortcut", file, f"{name}.shortcut")
        shortcut = kind != ZERO
        if shortcut:
            documents.check(keys.shortcut, IdentityKeys, f"{file}: {name}.shortcut")
    if keys.conv is None:
        return None
    place = f"{name}.{'conv' if 'conv' in data else 'mobile_inverted_conv'}"
    kind = named(keys.conv, ("ConvLayer", *INVERTED, ZERO), "layer", file, place)
    if kind == ZERO:
        return None
    inner = (inverted if kind in INVERTED else plain_part)(keys.conv, file, place, name, shortcut)
    if shortcut and (inner.in_channels != inner.out_channels or inner.layers(2)[-1].out_size != 2):
        raise InputError(
            f"{file}: {name}: the shortcut adds the block's input to its output, but they differ: "
            f"{inner.in_channels} channels become {inner.out_channels}, stride {keys.conv.get('stride', 1)}; "
            "set shortcut to null"
        )
    return inner


def plain_part(data: JsonKeys, file: str, place: str, name: str, shortcut: bool) -> Part:
    """A convolution, and the addition of its input where there is a shortcut."""
    alone = replace(conv(data, file, place), name=name)
    channels = alone.out_channels

    def layers(size: int) -> tuple[Layer, ...]:
        (layer,) = alone.layers(size)
        side = layer.out_size
        added = Layer(f"{name}.add", "add", channels, channels, side, side, held=channels * side**2)
        return (layer, added) if shortcut else (layer,)

    return replace(alone, layers=layers)


def inverted(data: JsonKeys, file: str, place: str, name: str, shortcut: bool) -> Part:
    where = f"{file}: {place}"
    keys = documents.check(dict(data), InvertedKeys, where)
    inp, expand = keys.in_channels, keys.expand_ratio != 1
    mid = middle(keys, inp, where)
    if not expand and mid != inp:
        raise InputError(
            f"{where}: mid_channels: got {mid}; with expand_ratio 1 nothing expands, "
            f"so that it must be null or in_channels, {inp}"
        )
    if keys.groups is not None and keys.groups < mid:
        raise InputError(
            f"{where}: groups: got {keys.groups}; allowed: null or as many as there are channels ({mid})"
        )
    block = Block(
        name, inp, mid, keys.out_channels, in_size=0, kernel=keys.kernel_size, stride=keys.stride,
        act=keys.act_func, se=keys.use_se, expand=expand, residual=shortcut,
    )  # fmt: skip
    return Part(name, inp, keys.out_channels, lambda size: tuple(replace(block, in_size=size).layers()))


def middle(keys: InvertedKeys | BottleneckKeys, channels: int, where: str) -> int:
    """Channels within a block: as given, or ``expand_ratio`` times its ``channels``."""
    if keys.mid_channels is not None:
        return keys.mid_channels
    ratio = keys.expand_ratio or 0  # both may be null
    found = round(channels * ratio)
    if found == 0:
        raise InputError(
            f"{where}: expand_ratio: got {keys.expand_ratio}, which leaves none of {channels} channels; "
            "give mid_channels or a larger ratio"
        )
    return found


def bottleneck(data: JsonKeys, file: str, name: str) -> Part:
    keys = documents.check(dict(data), BottleneckKeys, f"{file}: {name}")
    inp, out, stride = keys.in_channels, keys.out_channels, keys.stride
    mid = make_divisible(middle(keys, out, f"{file}: {name}"))
    projected = stride != 1 or inp != out
    block = Bottleneck(name, inp, mid, out, in_size=0, stride=stride, projected=projected)

    def layers(size: int) -> tuple[Layer, ...]:
        found = tuple(block._replace(in_size=size).layers())
        if not projected or keys.downsample_mode == "avgpool_conv":
            return found
        pooling, shortcut, *rest = found
        # ResNet50 without the D: the convolution of the shortcut strides, nothing pools
        return replace(shortcut, in_size=pooling.in_size, stride=pooling.stride, held=0), *rest

    return Part(name, inp, out, layers)


Build = Callable[[JsonKeys, str, str], Part | None]
RESIDUAL: Mapping[str, Build] = {"ResidualBlock": residual, "MobileInvertedResidualBlock": residual}
BOTTLENECK: Mapping[str, Build] = {"ResNetBottleneckBlock": bottleneck}
STEM: Mapping[str, Build] = {"ConvLayer": conv, **RESIDUAL}
INVERTED = ("MBConvLayer", "MBInvertedConvLayer")
ZERO = "ZeroLayer"
