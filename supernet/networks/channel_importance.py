"""The inner channels of a block by how much of its output comes from them, so that a narrower block keeps the best.

Of a channel between two convolutions it is known, without images, how far it varies, which is the scale of its batch
norm, and by which weights what comes next reads it. Its mean, which goes too where it is left out, is put back when batch
norms are recalibrated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from supernet.networks.inverted_residual_networks import ConvBnAct, SqueezeExcite


class InnerChannels(NamedTuple):
    """Channels that may change places: what writes them one after the other, and what reads them."""

    writers: tuple[ConvBnAct | SqueezeExcite, ...]
    reader: ConvBnAct


@torch.no_grad()
def sort_block(parts: Sequence[ConvBnAct | SqueezeExcite]) -> None:
    """Sort the inner channels of a block's convolutions, the most important first; what it computes stays."""
    for channels in inner_channels(parts):
        order = importance(channels).argsort(descending=True, stable=True)
        for writer in channels.writers:
            permute_written(writer, order)
        reader = channels.reader.conv.weight
        reader.copy_(reader[:, order])


def inner_channels(parts: Sequence[ConvBnAct | SqueezeExcite]) -> Iterator[InnerChannels]:
    """The groups of channels between the convolutions of a block; a depthwise one and a gate are within a group."""
    writers: list[ConvBnAct | SqueezeExcite] = []
    for part in parts:
        within = isinstance(part, SqueezeExcite) or part.conv.groups > 1
        if writers and not within:
            assert isinstance(part, ConvBnAct)
            yield InnerChannels(tuple(writers), part)
            writers = []
        # the input of a depthwise convolution that comes first is that of the block
        writers = [*writers, part] if writers or not within else []


def importance(channels: InnerChannels) -> Tensor:
    """A number (channels,) for each: the scale of its batch norm, times the L1 norm of the weights that read it."""
    norm = [writer.bn for writer in channels.writers if isinstance(writer, ConvBnAct)][-1]
    return channels.reader.conv.weight.abs().sum((0, 2, 3)) * norm.weight.abs()


def permute_written(writer: ConvBnAct | SqueezeExcite, order: Tensor) -> None:
    """Put the output channels of a convolution, or the channels of a gate, in another order."""
    if isinstance(writer, SqueezeExcite):
        tensors: Sequence[Tensor | None] = (writer.expand.weight, writer.expand.bias)
        writer.reduce.weight.copy_(writer.reduce.weight[:, order])
    else:
        norm = writer.bn
        tensors = (writer.conv.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var)
    for tensor in tensors:
        if tensor is not None:
            tensor.copy_(tensor[order])
