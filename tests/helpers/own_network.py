"""YAML files of networks of one's own: the docs' elastic ResNet, or one of its faulty kind, very small."""

from __future__ import annotations

import itertools
from pathlib import Path

import yaml
from torch import nn

from supernet.archs.arch import Arch
from supernet.archs.layers import Layer
from supernet.archs.space import Dimension, SearchSpace

SMALL = {
    "classes": ["bag", "dress", "shoe"], "in_channels": 1, "widths": [4, 6], "depths": [1, 2], "expands": [0.5, 1.0],
    "resolutions": [8, 11],
}  # fmt: skip
WHOLE = "tests.helpers.broken_networks:Whole"


def write_own(
    folder: Path, family: str = WHOLE, name: str = "elastic_resnet", network: dict | None = None, **keys
) -> str:
    """The path of a supernet's YAML file."""
    document = {
        "name": name, "family": family, "preprocessing": {"stored": 28, "mean": [0.3], "std": [0.35]}, **keys,
        "network": SMALL if network is None else network,
    }  # fmt: skip
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(document))
    return str(path)


class Skipping:
    """A network that may have none of its middle blocks, the first of which is wider in a network of two."""

    def __init__(self, classes: list[str]) -> None:
        self.classes = classes
        self.space = SearchSpace(
            "skipping", (Dimension("resolution", (4, 8)), Dimension("depth.1", (0, 1, 2)))
        )

    def layers(self, arch: Arch) -> list[Layer]:
        r, depth = arch.resolution, int(arch["depth.1"])
        middle = [
            Layer(f"block{b}.conv", "conv", 3 + (b == 2), 3 + (depth == 2), r, r) for b in range(1, depth + 1)
        ]
        end = 3 + (depth == 2)
        return [
            Layer("stem", "conv", 1, 3, r, r), *middle, Layer("head.pool", "pool", end, end, r, 1),
            Layer("head.classifier", "linear", end, len(self.classes), 1, 1),
        ]  # fmt: skip

    def network(self, arch: Arch) -> nn.Module:
        depth = int(arch["depth.1"])
        widths = [1, 3, *([3 + (depth == 2)] * depth)]
        convs = [nn.Conv2d(a, b, 1, bias=False) for a, b in itertools.pairwise(widths)]
        pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return nn.Sequential(*convs, pool, nn.Linear(widths[-1], len(self.classes), bias=False))
