"""OFA's MobileNetV3 supernets (Cai et al., ICLR 2020), on ``ofa``'s own ``OFAMobileNetV3``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import Field

from supernet import documents, mobilenet_v3
from supernet.bounds import MOST_LAYERS
from supernet.catalog import Family, label_names
from supernet.mobilenet_v3 import MobileNetV3Spec, Stage, make_divisible

if TYPE_CHECKING:
    from supernet.ofa_networks import OfaNet

RESOLUTIONS = tuple(range(128, 225, 4))
DEPTHS, KERNELS, EXPANDS = (2, 3, 4), (3, 5, 7), (3, 4, 6)
STEM, HEAD, MIX = 16, 960, 1280
STAGES = (
    (24, 2, "relu", False), (40, 2, "relu", True), (80, 2, "h_swish", False),
    (112, 1, "h_swish", True), (160, 2, "h_swish", True),
)  # fmt: skip
"""Width, stride, activation and gate of each stage, as in ``ofa``'s class; widths at multiplier 1."""


class NetworkKeys(documents.Document):
    width: float = Field(gt=0, le=MOST_LAYERS)
    classes: str | tuple[str, ...]


def parse(name: str, network: Mapping[str, Any], where: str) -> Family:
    """The family of the ``network`` key of a supernet's YAML."""
    keys = documents.check(dict(network), NetworkKeys, f"{where}: network")
    classes = label_names(keys.classes)

    def scaled(width: int) -> int:
        return make_divisible(width * keys.width)

    spec = MobileNetV3Spec(
        name=name,
        classes=len(classes),
        in_channels=3,
        resolutions=RESOLUTIONS,
        stem_width=scaled(STEM),
        stem_stride=2,
        first_width=scaled(STEM),
        first_stride=1,
        first_shortcut=True,
        head_width=scaled(HEAD),
        mix_width=scaled(MIX),
        stages=tuple(
            Stage(scaled(width), stride, act, se, DEPTHS, KERNELS, EXPANDS)
            for width, stride, act, se in STAGES
        ),
    )
    return mobilenet_v3.family(spec, classes, partial(elastic, spec, keys.width))


def elastic(spec: MobileNetV3Spec, width: float) -> OfaNet:
    from ofa.imagenet_classification.elastic_nn.networks import OFAMobileNetV3

    from supernet.ofa_networks import mobile_net

    return mobile_net(OFAMobileNetV3, spec, width)
