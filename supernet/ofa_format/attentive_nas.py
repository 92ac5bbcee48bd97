"""Subnets of AttentiveNAS (Wang et al., CVPR 2021) and AlphaNet: their layers, for costs. Their supernet does not ship.

``{"resolution": 192, "width": [...], "depth": [...], "kernel_size": [...], "expand_ratio": [...]}``:
widths of the stem, of each stage and of the layer before the classifier, and of each stage its
blocks, their kernel and their expand ratio. A shortcut pools where its block strides, and
convolves where the block changes width.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field

from supernet import documents
from supernet.amounts import Count
from supernet.archs.layers import Layer
from supernet.errors import InputError
from supernet.networks.inverted_residuals import Block, make_divisible
from supernet.ofa_format.net_config_keys import KernelSize

FORMAT_NAME = "AttentiveNAS"
STRIDES = (1, 2, 2, 2, 1, 2, 1)
GATED = (False, False, True, False, True, True, True)
HEAD = 6
"""The head is so many times as wide as the last stage."""
IMAGENET_CLASSES = 1000
ACT = "swish"

PerStage = {"min_length": len(STRIDES), "max_length": len(STRIDES)}


class SubnetKeys(documents.Document):
    """Of one subnet, whose head is that of MobileNetV3; ``model`` is its name."""

    resolution: Count
    width: Annotated[list[Count], Field(min_length=len(STRIDES) + 2, max_length=len(STRIDES) + 2)]
    depth: Annotated[list[Count], Field(**PerStage)]
    kernel_size: Annotated[list[KernelSize], Field(**PerStage)]
    expand_ratio: Annotated[list[Annotated[float, Field(gt=0, le=100)]], Field(**PerStage)]
    model: str | None = None


def parse_subnet(data: Mapping[str, Any], file: str) -> SubnetKeys:
    """The settings of one subnet."""
    return documents.check(dict(data), SubnetKeys, file)


def layers_of_subnet(keys: SubnetKeys, image_size: int) -> tuple[Layer, ...]:
    """All layers for square images of ``image_size`` pixels, in the order in which they run."""
    return tuple(walk(keys, image_size))


def walk(keys: SubnetKeys, image_size: int) -> Iterator[Layer]:
    stem, *stages, mix = keys.width
    size, channels = math.ceil(image_size / 2), stem
    yield Layer("stem", "conv", 3, stem, image_size, size, kernel=3, stride=2, norm=True, act=ACT)
    for s, width in enumerate(stages):
        for b in range(keys.depth[s]):
            ratio = keys.expand_ratio[s]
            block = Block(
                f"stage{s + 1}.block{b + 1}", channels, make_divisible(round(channels * ratio)), width, size,
                kernel=keys.kernel_size[s], stride=STRIDES[s] if b == 0 else 1, act=ACT, se=GATED[s],
                expand=ratio != 1,
            )  # fmt: skip
            yield from with_shortcut(block)
            size, channels = block.out_size, width
    head = HEAD * channels
    yield Layer("head", "conv", channels, head, size, size, norm=True, act=ACT)
    yield Layer("head.pool", "pool", head, head, size, 1)
    yield Layer("mix", "conv", head, mix, 1, 1, act=ACT)
    yield Layer("classifier", "linear", mix, IMAGENET_CLASSES, 1, 1, bias=True)


def with_shortcut(block: Block) -> Iterator[Layer]:
    """The layers of a block with its shortcut, which every block has and which runs first."""
    if block.shortcut:
        yield from block.layers()
        return
    inp, out, size, small = block.in_channels, block.out_channels, block.in_size, block.out_size
    name = f"{block.name}.shortcut"
    if block.stride > 1:
        yield Layer(f"{name}.pool", "pool", inp, inp, size, small, block.stride, block.stride)
    if inp != out:
        kept = inp * size**2 if block.stride > 1 else 0  # else the block's input is its own
        yield Layer(name, "conv", inp, out, small, small, held=kept)
    added = out * small**2
    for layer in replace(block, residual=False).layers():
        yield replace(layer, held=layer.held + added)
    yield Layer(f"{block.name}.add", "add", out, out, small, small, held=added)


def refuse_several(data: Mapping[str, Any], file: str) -> None:
    """Raises InputError for a configuration of AttentiveNAS, which has several subnets or a supernet in it."""
    if "pareto_models" in data:
        inside = data["pareto_models"]
        names = (
            [name for name, v in inside.items() if isinstance(v, dict)] if isinstance(inside, dict) else []
        )
        raise InputError(
            f"{file} is a configuration of {FORMAT_NAME} with {len(names)} subnets, {', '.join(map(str, names))}: "
            "give what stands below one of them as a file of its own"
        )
    raise InputError(
        f"{file} is the configuration of a supernet of {FORMAT_NAME}, which has many subnets: give one's "
        f"{', '.join(SubnetKeys.model_fields)}"
    )
