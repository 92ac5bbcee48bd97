"""Supernets by name: their description (free of torch) and their weights.

A family is one module with ``parse(name, network) -> Family`` and one line in
:data:`FAMILIES`; a supernet is a YAML file in ``configs/supernets``.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supernet import documents
from supernet.arch import Arch
from supernet.errors import unknown
from supernet.layers import Layer, Segment, layers
from supernet.space import SearchSpace

if TYPE_CHECKING:
    from supernet.networks import ElasticNet, Subnet

FAMILIES: Mapping[str, str] = {
    "mobilenet_v3": "supernet.families.mobilenet_v3",
}

DATA_SETS = ("fashion_mnist",)
"""Names of data sets that ship; any other data set is a folder of images."""

PRETRAINED = Path(__file__).parent / "pretrained"
"""Weights and images that ship with the package."""


@dataclass(frozen=True)
class Family:
    """What the rest of oncefit knows of a network; ``elastic`` and ``static`` import torch when called."""

    classes: tuple[str, ...]
    space: SearchSpace
    segments: tuple[Segment, ...]
    elastic: Callable[[], ElasticNet]
    static: Callable[[Arch], Subnet]


class WeightsFile(documents.Document):
    """A safetensors file in the package's ``pretrained`` folder, or at a path, and its hash."""

    file: str
    sha256: str


class SupernetFile(documents.Document):
    """``configs/supernets/*.yaml``."""

    name: str
    family: str
    data: str
    weights: WeightsFile
    network: dict[str, Any]


@dataclass(frozen=True)
class Supernet:
    """A described supernet; :meth:`load` gives its weights."""

    name: str
    data: str
    weights: Path
    sha256: str
    family: Family

    @property
    def space(self) -> SearchSpace:
        return self.family.space

    @cached_property
    def fingerprint(self) -> str:
        """Names the network: its choices, and the layers of its largest, middle and smallest subnet.

        Latency models, studies and bundles carry it and refuse another. Weights have a hash of their own.
        """
        space = self.space
        choices = [(d.name, d.choices, d.needs) for d in space.dimensions]
        ends = (space.largest(), space.middle(), space.smallest())
        built = [[asdict(layer) for layer in self.layers(arch)] for arch in ends]
        return hashlib.sha256(json.dumps([space.name, choices, built]).encode()).hexdigest()[:16]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the network's outputs, in order."""
        return self.family.classes

    @property
    def segments(self) -> tuple[Segment, ...]:
        return self.family.segments

    @property
    def remedy(self) -> str:
        """What to do where the weights are missing or changed."""
        from supernet.checkpoints import REINSTALL

        if self.weights.parent == PRETRAINED:
            return REINSTALL
        return f"put the file back, or set weights.file and weights.sha256 in the YAML of {self.name}"

    def layers(self, arch: Arch) -> tuple[Layer, ...]:
        return layers(self.segments, arch)

    def load(self) -> ElasticNet:
        """The elastic network with its weights, in eval mode. Raises InputError for wrong files."""
        from supernet.checkpoints import load_weights

        net = self.family.elastic()
        load_weights(net, self.weights, self.sha256, self.remedy)
        return net.eval()


@lru_cache(maxsize=8)
def open_supernet(name_or_path: str) -> Supernet:
    """The supernet of a name in ``configs/supernets`` or of a YAML file of the user's."""
    path = documents.find("supernets", name_or_path)
    document = documents.read(path, SupernetFile)
    if document.family not in FAMILIES:
        raise unknown(f"family in {path}:", document.family, FAMILIES)
    family = importlib.import_module(FAMILIES[document.family])
    return Supernet(
        name=document.name,
        data=document.data
        if document.data in DATA_SETS
        else documents.from_folder(path.parent, document.data),
        weights=PRETRAINED / documents.from_folder(path.parent, document.weights.file),
        sha256=document.weights.sha256,
        family=family.parse(document.name, document.network, str(path)),
    )
