"""OFA's ProxylessNAS supernet (Cai et al., ICLR 2020), on ``ofa``'s own ``OFAProxylessNASNets``."""

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
LAST_DEPTHS = (1,)
STEM, FIRST, HEAD = 32, 16, 1280
STAGES = ((24, 2), (40, 2), (80, 2), (96, 1), (192, 2), (320, 1))
"""Width and stride of each stage, as in ``ofa``'s class; widths at multiplier 1."""
NORM_EPS = 1e-3


class NetworkKeys(documents.Document):
    width: float = Field(gt=0, le=MOST_LAYERS)
    classes: str | tuple[str, ...]


def parse(name: str, network: Mapping[str, Any], where: str) -> Family:
    """The family of the ``network`` key of a supernet's YAML."""
    keys = documents.check(dict(network), NetworkKeys, f"{where}: network")
    classes = label_names(keys.classes)

    def scaled(width: int) -> int:
        return make_divisible(width * keys.width)

    depths = [DEPTHS] * (len(STAGES) - 1) + [LAST_DEPTHS]
    spec = MobileNetV3Spec(
        name=name,
        classes=len(classes),
        in_channels=3,
        resolutions=RESOLUTIONS,
        stem_width=scaled(STEM),
        stem_stride=2,
        stem_act="relu6",
        first_width=scaled(FIRST),
        first_stride=1,
        first_act="relu6",
        head_width=scaled(HEAD),
        head_act="relu6",
        norm_eps=NORM_EPS,
        stages=tuple(
            Stage(scaled(width), stride, "relu6", False, depth, KERNELS, EXPANDS)
            for (width, stride), depth in zip(STAGES, depths, strict=True)
        ),
    )
    return mobilenet_v3.family(spec, classes, partial(elastic, spec, keys.width))


def elastic(spec: MobileNetV3Spec, width: float) -> OfaNet:
    from ofa.imagenet_classification.elastic_nn.networks import OFAProxylessNASNets

    from supernet.ofa_networks import mobile_net

    return mobile_net(OFAProxylessNASNets, spec, width)
