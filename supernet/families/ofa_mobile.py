"""OFA's MobileNetV3 and ProxylessNAS supernets (Cai et al., ICLR 2020), on ``ofa``'s own classes.

Both have stages of inverted residual blocks; a table each says what differs.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import Field

from supernet import documents
from supernet.bounds import FREE_RESOLUTIONS, MOST_LAYERS
from supernet.families.catalog import Family, label_names
from supernet.families.from_description import described_family
from supernet.networks.inverted_residuals import MobileNetV3Spec, Stage, make_divisible

if TYPE_CHECKING:
    from supernet.networks.ofa_networks import OfaNet

RESOLUTIONS = tuple(range(128, 225, 4))
DEPTHS, KERNELS, EXPANDS = (2, 3, 4), (3, 5, 7), (3, 4, 6)
OFA_NETWORKS = "ofa.imagenet_classification.elastic_nn.networks"


@dataclass(frozen=True)
class Table:
    """One of ``ofa``'s classes, ``made_by``, at width multiplier 1.

    ``stages`` have a width, stride, activation, gate and depths each; ``mix`` is the width of a
    layer between the pooled head and the classifier, if there is one.
    """

    made_by: str
    stem: int
    first: int
    first_act: str
    first_shortcut: bool
    stages: tuple[tuple[int, int, str, bool, tuple[int, ...]], ...]
    head: int
    mix: int | None
    act: str
    norm_eps: float


MOBILENET_V3 = Table(
    made_by="OFAMobileNetV3", stem=16, first=16, first_act="relu", first_shortcut=True,
    stages=(
        (24, 2, "relu", False, DEPTHS), (40, 2, "relu", True, DEPTHS), (80, 2, "h_swish", False, DEPTHS),
        (112, 1, "h_swish", True, DEPTHS), (160, 2, "h_swish", True, DEPTHS),
    ),
    head=960, mix=1280, act="h_swish", norm_eps=1e-5,
)  # fmt: skip
PROXYLESS = Table(
    made_by="OFAProxylessNASNets", stem=32, first=16, first_act="relu6", first_shortcut=False,
    stages=(
        (24, 2, "relu6", False, DEPTHS), (40, 2, "relu6", False, DEPTHS), (80, 2, "relu6", False, DEPTHS),
        (96, 1, "relu6", False, DEPTHS), (192, 2, "relu6", False, DEPTHS), (320, 1, "relu6", False, (1,)),
    ),
    head=1280, mix=None, act="relu6", norm_eps=1e-3,
)  # fmt: skip


class NetworkKeys(documents.Document):
    width: float = Field(gt=0, le=MOST_LAYERS)
    classes: str | tuple[str, ...]


def parse(table: Table, name: str, network: Mapping[str, Any], where: str) -> Family:
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
        free_resolutions=FREE_RESOLUTIONS,
        stem_width=scaled(table.stem),
        stem_stride=2,
        stem_act=table.act,
        first_width=scaled(table.first),
        first_stride=1,
        first_act=table.first_act,
        first_shortcut=table.first_shortcut,
        head_width=scaled(table.head),
        head_act=table.act,
        mix_width=scaled(table.mix) if table.mix is not None else None,
        norm_eps=table.norm_eps,
        stages=tuple(
            Stage(scaled(width), stride, act, se, depths, KERNELS, EXPANDS)
            for width, stride, act, se, depths in table.stages
        ),
    )
    made = described_family(spec, classes, partial(elastic, table, spec, keys.width))
    return replace(made, width=keys.width)


parse_mobilenet_v3 = partial(parse, MOBILENET_V3)
parse_proxyless = partial(parse, PROXYLESS)


def elastic(table: Table, spec: MobileNetV3Spec, width: float) -> OfaNet:
    from supernet.networks.ofa_networks import mobile_net

    return mobile_net(getattr(importlib.import_module(OFA_NETWORKS), table.made_by), spec, width)
