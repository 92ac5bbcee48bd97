"""From the description of a supernet of inverted residual blocks to its family."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from supernet.archs.arch import Arch
from supernet.families.catalog import Elastic, Family
from supernet.networks.inverted_residuals import MobileNetV3Spec, segments, space

if TYPE_CHECKING:
    from supernet.networks.inverted_residual_networks import Subnet


def described_family(
    spec: MobileNetV3Spec, classes: tuple[str, ...], elastic: Callable[[], Elastic]
) -> Family:
    """The family of a description; ``elastic`` makes the network with all weights."""
    return Family(classes, space(spec), segments(spec), elastic, partial(untrained_subnet, spec))


def untrained_subnet(spec: MobileNetV3Spec, arch: Arch) -> Subnet:
    """The static network of an arch, with untrained weights."""
    from supernet.networks.inverted_residual_networks import Subnet

    return Subnet(spec, arch.values)
