"""A plain elastic ResNet for small images: its depth is chosen by stage, its width by block, and its resolution.

All blocks of a stage give the same channels, so that any number of them fits; between its two convolutions a block has a
share of these, its ``expand``. A subnet's weights are the first entries of the largest one's tensors of the same name.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from oncefit import Arch, Dimension, Layer, SearchSpace


class Shape(NamedTuple):
    """Channels of a block, the side of its input in pixels, and its stride."""

    name: str
    inp: int
    mid: int
    out: int
    size: int
    stride: int


class ConvNorm(nn.Sequential):
    """A convolution and its batch norm, which deployment folds into it."""

    def __init__(self, inp: int, out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inp, out, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(out)


class Block(nn.Module):
    """Two convolutions and a shortcut, which is a convolution itself where shapes change."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        alike = shape.inp == shape.out and shape.stride == 1
        self.shortcut = nn.Identity() if alike else ConvNorm(shape.inp, shape.out, 1, shape.stride)
        self.conv1 = ConvNorm(shape.inp, shape.mid, 3, shape.stride)
        self.conv2 = ConvNorm(shape.mid, shape.out, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.shortcut(x) + self.conv2(F.relu(self.conv1(x))))


class ElasticResNet(nn.Module):
    """What the ``network`` key of its YAML says are the arguments here; ``classes`` are always among them."""

    def __init__(
        self,
        classes: Sequence[str],
        name: str = "elastic_resnet",
        in_channels: int = 3,
        stem: int = 16,
        strides: Sequence[int] = (1, 2, 2, 2),
        widths: Sequence[int] = (16, 32, 64),
        depths: Sequence[int] = (1, 2, 3),
        expands: Sequence[float] = (0.5, 0.75, 1.0),
        resolutions: Sequence[int] = (24, 28, 32),
    ) -> None:
        super().__init__()
        self.outputs, self.in_channels, self.stem = len(classes), in_channels, stem
        self.widths, self.strides = widths, strides
        dimensions = [Dimension("resolution", tuple(resolutions))]
        for s in range(1, len(widths) + 1):
            dimensions.append(Dimension(f"depth.{s}", tuple(depths)))
            for b in range(1, max(depths) + 1):
                dimensions.append(Dimension(f"expand.{s}.{b}", tuple(expands), needs=(f"depth.{s}", b)))
        self.space = SearchSpace(name, tuple(dimensions))
        self.largest = self.network(self.space.largest())

    def shapes(self, arch: Arch) -> list[Shape]:
        """The blocks of an arch, in order."""
        found, inp, size = [], self.stem, arch.resolution
        for s, (out, first) in enumerate(zip(self.widths, self.strides, strict=False), 1):
            for b in range(1, int(arch[f"depth.{s}"]) + 1):
                stride = first if b == 1 else 1
                mid = round(out * arch[f"expand.{s}.{b}"])
                found.append(Shape(f"stage{s}_block{b}", inp, mid, out, size, stride))
                inp, size = out, math.ceil(size / stride)
        return found

    # -- what every network of one's own has, beside its space --------------------------------

    def network(self, arch: Arch) -> nn.Module:
        """The static network of an arch: images (n, c, r, r) to logits (n, classes)."""
        net = nn.Sequential()
        net.add_module("stem", ConvNorm(self.in_channels, self.stem, 3))
        net.add_module("relu", nn.ReLU())
        for shape in self.shapes(arch):
            net.add_module(shape.name, Block(shape))
        net.add_module("pool", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
        net.add_module("classifier", nn.Linear(self.widths[-1], self.outputs))
        return net

    def layers(self, arch: Arch) -> list[Layer]:
        """The same as layers, which all costs are summed over; those of a block are called BLOCK.layer."""
        r, first, last = arch.resolution, self.stem, self.widths[-1]
        found = [Layer("stem", "conv", self.in_channels, first, r, r, 3, norm=True, act="relu")]
        for name, inp, mid, out, size, stride in self.shapes(arch):
            small = math.ceil(size / stride)
            alike = inp == out and stride == 1
            if not alike:
                found.append(Layer(f"{name}.shortcut", "conv", inp, out, size, small, 1, stride, norm=True))
            held = out * small**2  # the shortcut, which stays in memory beside what runs
            found += [
                Layer(
                    f"{name}.conv1", "conv", inp, mid, size, small, 3, stride, norm=True, act="relu",
                    held=0 if alike else held,  # a shortcut that is the input counts as that
                ),
                Layer(f"{name}.conv2", "conv", mid, out, small, small, 3, norm=True, held=held),
                Layer(f"{name}.add", "add", out, out, small, small, act="relu", held=held),
            ]  # fmt: skip
        found.append(Layer("head.pool", "pool", last, last, found[-1].out_size, 1))
        found.append(Layer("head.classifier", "linear", last, self.outputs, 1, 1, bias=True))
        return found

    def first_entries(self, net: nn.Module) -> dict[str, Tensor]:
        """Of the largest network's tensors those that a static one has, shared with it."""
        whole = self.largest.state_dict(keep_vars=True)
        return {name: whole[name][tuple(map(slice, t.shape))] for name, t in net.state_dict().items()}

    def extract(self, arch: Arch) -> nn.Module:
        """The static network of an arch with copies of its weights."""
        net = self.network(arch)
        net.load_state_dict(self.first_entries(net))
        return net.eval()

    def forward(self, x: Tensor, values: Mapping[str, float]) -> Tensor:
        """Logits of the subnet that ``values`` name, whose gradients reach the shared weights: for training."""
        with torch.device("meta"):  # shapes alone
            net = self.network(self.space.arch(values)).train(self.training)
        return functional_call(net, self.first_entries(net), (x,))

    @torch.no_grad()
    def sort_channels(self) -> None:
        """Order the channels within each block by importance: the first ones are kept."""
        for block in filter(lambda module: isinstance(module, Block), self.largest):
            order = block.conv2.conv.weight.abs().sum((0, 2, 3)).argsort(descending=True)
            for t in block.conv1.state_dict().values():
                if t.ndim:  # all but the number of batches that were seen
                    t.copy_(t[order])
            block.conv2.conv.weight.copy_(block.conv2.conv.weight[:, order])
