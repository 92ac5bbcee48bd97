"""A cost of your own: size of the weights in KiB when each is stored in ``BITS`` bits."""

from dataclasses import dataclass

from cost_models.protocol import Target
from supernet.archs.arch import Arch
from supernet.families.catalog import Supernet

BITS = 8


@dataclass(frozen=True)
class WeightsKib:
    supernet: Supernet
    name: str = "weights_kib"

    def __call__(self, arch: Arch) -> float:
        return sum(layer.weights for layer in self.supernet.layers(arch)) * BITS / 8 / 1024


def weights_kib(target: Target) -> WeightsKib:
    return WeightsKib(target.supernet)
