"""Layers of a network's walk as a network of their own: a block, or a layer that stands alone, with random weights."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from supernet.archs.layers import Layer, is_beside
from supernet.networks.inverted_residual_networks import ACTIVATIONS, initialise

GATES = {"h_sigmoid": nn.Hardsigmoid}


class LayersNet(nn.Module):
    """What consecutive ``layers`` compute: maps (n, c, s, s) to maps, or to (n, classes) where the last is linear.

    They run one after the other, but for those of a shortcut, which run beside the others; ``add`` adds what these
    gave, or the input, and ``scale`` multiplies what was pooled for the gate before it.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.layers = tuple(layers)
        self.parts = nn.ModuleList(map(part_of, self.layers))
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = pooled = x
        for layer, part in zip(self.layers, self.parts, strict=True):
            if is_beside(layer):
                shortcut = part(shortcut)
            elif layer.op == "add":
                x = part(x + shortcut)
            elif layer.op == "scale":
                x = part(pooled * x)
            else:
                pooled = x if layer.op == "pool" else pooled
                x = part(x)
        return x


def part_of(layer: Layer) -> nn.Sequential:
    """The modules of one layer, with its batch norm and activation function."""
    parts: list[nn.Module] = []
    if layer.op in ("conv", "depthwise"):
        groups = layer.in_channels if layer.op == "depthwise" else 1
        parts.append(
            nn.Conv2d(
                layer.in_channels, layer.out_channels, layer.kernel, layer.stride, layer.kernel // 2,
                groups=groups, bias=layer.bias,
            )
        )  # fmt: skip
    elif layer.op == "linear":
        parts += [nn.Flatten(), nn.Linear(layer.in_channels, layer.out_channels, layer.bias)]
    elif layer.op == "pool":
        parts.append(pool_of(layer))
    if layer.norm:
        parts.append(nn.BatchNorm2d(layer.out_channels))
    if layer.act is not None:
        parts.append((ACTIVATIONS | GATES)[layer.act](inplace=True))
    return nn.Sequential(*parts)


def pool_of(layer: Layer) -> nn.Module:
    """The mean of a whole map; means of squares that do not overlap; else the largest of squares that do."""
    if layer.kernel == 1 and layer.out_size == 1:
        return MapMean()
    if layer.kernel == layer.stride:
        return nn.AvgPool2d(layer.kernel, layer.stride, ceil_mode=True)
    return nn.MaxPool2d(layer.kernel, layer.stride, layer.kernel // 2)


class MapMean(nn.Module):
    """(n, c, h, w) to (n, c, 1, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3), keepdim=True)
