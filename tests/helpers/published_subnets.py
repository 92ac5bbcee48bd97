"""Facts about published subnets: their choices, and the multiply-adds and parameters that their authors give.

Six of OFA's specialised networks (table in the README of once-for-all), three of NAT's
(``net.subnet``), three of MCUNet's (table in the README of mcunet) and seven of AttentiveNAS's
(table in its README).
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple


class Published(NamedTuple):
    """A subnet of an OFA space; ``kernels`` and ``expands`` have one digit for each block that is not skipped."""

    name: str
    supernet: str
    resolution: int
    depths: str
    kernels: str
    expands: str
    macs_millions: int
    params_millions: float

    @property
    def settings(self) -> dict[str, Any]:
        """``ofa``'s, without the skipped blocks."""
        found = {"ks": digits(self.kernels), "e": digits(self.expands), "d": digits(self.depths)}
        return found | {"r": self.resolution}

    def net_config(self) -> dict[str, Any]:
        """What ``ofa``'s own supernet writes of it, without memory for weights."""
        import torch
        from ofa.imagenet_classification.elastic_nn.networks import OFAMobileNetV3, OFAProxylessNASNets

        kind = OFAProxylessNASNets if "proxyless" in self.supernet else OFAMobileNetV3
        choices = {"ks_list": [3, 5, 7], "expand_ratio_list": [3, 4, 6], "depth_list": [2, 3, 4]}
        with torch.device("meta"):
            net = kind(width_mult=float(self.supernet.rpartition("w")[2]), **choices)
            net.set_active_subnet(
                ks=of_all_blocks(self.kernels), e=of_all_blocks(self.expands), d=digits(self.depths)[:5]
            )
            found: dict[str, Any] = net.get_active_subnet(preserve_weight=False).config
        return found

    def write(self, folder: Path) -> Path:
        """Its net.config, and the run.config beside it that says the image size."""
        (folder / "run.config").write_text(json.dumps({"image_size": self.resolution}))
        path = folder / "net.config"
        path.write_text(json.dumps(self.net_config()))
        return path


def of_all_blocks(stages: str) -> list[int]:
    """One choice for each block of the supernet: four in each of five stages, then one in ProxylessNAS's last."""
    parts = stages.split()
    return digits("".join([*(part.ljust(4, "3") for part in parts[:5]), *parts[5:]]))


def digits(text: str) -> list[int]:
    return [int(digit) for digit in text if digit.isdigit()]


OFA = (
    Published("note8-22ms", "ofa_mbv3_w1.0", 140, "22222", "33 55 73 53 37", "33 33 43 34 66", 67, 4.3),
    Published("note8-31ms", "ofa_mbv3_w1.0", 152, "22334", "53 55 335 357 3355", "33 43 444 434 6333", 101, 4.6),
    Published(
        "flops-482M", "ofa_mbv3_w1.2", 224, "34444", "533 5353 5533 5735 7333", "333 4443 4633 6664 6663",
        482, 9.1,
    ),
    Published("cpu-17ms", "ofa_proxyless_w1.3", 208, "223331", "33 53 373 553 353 3", "34 34 633 346 643 4", 365, 4.9),
    Published(
        "v100-11ms", "ofa_proxyless_w1.3", 192, "223441", "33 55 737 7537 3553 3", "33 63 334 4434 6646 4", 352, 6.2
    ),
)  # fmt: skip

LARGER = Published(
    "flops-595M",
    "ofa_mbv3_w1.2",
    236,
    "34444",
    "353 5535 7535 3573 3353",
    "343 4463 6634 6664 6663",
    595,
    9.1,
)
"""Another one of OFA's, at an image size that its space does not offer."""

NAT = {
    "NAT-M2": ({
        "ks": [3, 3, 7, 3, 7, 7, 5, 3, 7, 7, 3, 3, 3], "e": [3, 3, 3, 3, 4, 3, 3, 6, 4, 6, 6, 6, 3],
        "d": [2, 2, 3, 2, 4], "r": 224, "w": 1.2,
    }, 7.7),
    "NAT-M3": ({
        "ks": [5, 3, 3, 5, 3, 5, 3, 5, 5, 3, 3, 5, 7, 3, 5, 7, 3, 3, 3],
        "e": [3, 3, 3, 4, 4, 4, 3, 4, 6, 3, 3, 6, 6, 6, 4, 6, 6, 6, 3],
        "d": [3, 4, 4, 4, 4], "r": 224, "w": 1.2,
    }, 9.1),
    "NAT-M4": ({
        "ks": [3, 5, 3, 5, 5, 3, 5, 7, 5, 3, 5, 3, 5, 7, 3, 3, 3, 5, 3],
        "e": [3, 4, 3, 4, 4, 6, 3, 6, 6, 3, 4, 6, 6, 6, 4, 6, 6, 6, 3],
        "d": [3, 4, 4, 4, 4], "r": 240, "w": 1.2,
    }, 9.1),
}  # fmt: skip
"""Settings as in NAT's ``net.subnet``, and parameters in millions."""

ATTENTIVE_NAS = {
    "A0": (192, "16 16 24 32 64 112 192 216 1792", "3333333", "1444466", "1333331", 203),
    "A1": (224, "16 16 24 32 64 112 192 216 1984", "3335353", "1444466", "1333331", 279),
    "A2": (224, "16 16 24 32 64 112 200 224 1984", "3333353", "1454466", "1333341", 317),
    "A3": (224, "16 16 24 32 64 112 208 224 1984", "3335333", "1444466", "2334351", 357),
    "A4": (256, "16 16 24 32 64 112 192 216 1984", "3335353", "1445466", "1334351", 444),
    "A5": (256, "16 16 24 32 72 112 192 216 1792", "3335333", "1454466", "1333461", 491),
    "A6": (288, "16 16 24 32 64 112 216 224 1984", "3333353", "1465466", "1334461", 709),
}
"""Resolution, widths, kernels, expand ratios, depths, and multiply-adds in millions."""


def attentive(name: str) -> dict[str, Any]:
    """One of AttentiveNAS's subnets as its configuration writes it."""
    resolution, widths, kernels, expands, depths, _ = ATTENTIVE_NAS[name]
    return {
        "model": f"attentive_nas_{name.lower()}", "resolution": resolution,
        "width": [int(width) for width in widths.split()],
        "kernel_size": digits(kernels), "expand_ratio": digits(expands), "depth": digits(depths),
    }  # fmt: skip


MCUNET = {
    "mcunet-10fps": (
        48, 24, None,
        "16:1:3:1 16:4:5:2 16:3:3:1 16:4:3:1 24:5:7:2 24:4:5:1 24:5:5:1 48:5:7:2 48:4:5:1 56:5:3:1 56:4:5:1 "
        "56:5:3:1 112:6:3:2 112:4:5:1 192:6:3:1",
        6.4, 0.75,
    ),
    "mcunet-320kB": (
        176, 16, None,
        "8:1:3:1 16:3:7:2 16:5:3:1 16:5:7:1 16:4:5:1 24:5:5:2 24:5:5:1 24:5:5:1 40:5:3:2 40:6:7:1 40:4:5:1 "
        "48:5:5:1 48:5:7:1 48:5:3:1 96:6:3:2 96:5:7:1 96:4:3:1 160:5:7:1",
        81.8, 0.74,
    ),
    "mbv2-320kB": (
        144, 16, 448,
        "8:1:3:1 8:6:3:2 8:6:3:1 16:6:3:2 16:6:3:1 16:6:3:1 24:6:3:2 24:6:3:1 24:6:3:1 24:6:3:1 32:6:3:1 "
        "32:6:3:1 32:6:3:1 56:6:3:2 56:6:3:1 56:6:3:1 112:6:3:1",
        23.5, 0.75,
    ),
}  # fmt: skip
"""Resolution, width of the stem, width of the head or None, ``width:expand:kernel:stride`` of each block,
multiply-adds and parameters in millions."""


def mcunet(name: str) -> dict[str, Any]:
    """One of MCUNet's networks in the form of its JSON files, whose shortcuts have lists of widths."""
    resolution, stem, head, blocks, _, _ = MCUNET[name]
    rows = [[int(number) for number in block.split(":")] for block in blocks.split()]
    widths = [stem, *(row[0] for row in rows)]
    last = head or widths[-1]
    return {
        "name": "ProxylessNASNets",
        "bn": {"momentum": 0.1, "eps": 1e-05, "ws_eps": None},
        "first_conv": conv(3, stem, kernel_size=3, stride=2),
        "blocks": [
            block(inp, out, *row[1:]) for (inp, out), row in zip(pairwise(widths), rows, strict=True)
        ],
        "feature_mix_layer": conv(widths[-1], head, kernel_size=1) if head else None,
        "classifier": {"name": "LinearLayer", "in_features": last, "out_features": 1000},
        "resolution": resolution,
    }  # fmt: skip


def conv(inp: int, out: int, **more: int) -> dict[str, Any]:
    return {"name": "ConvLayer", "in_channels": inp, "out_channels": out, "act_func": "relu6", **more}


def block(inp: int, out: int, expand: int, kernel: int, stride: int) -> dict[str, Any]:
    inner = {
        "name": "MBInvertedConvLayer", "in_channels": inp, "out_channels": out, "kernel_size": kernel,
        "stride": stride, "expand_ratio": expand, "mid_channels": None if expand == 1 else inp * expand,
    }  # fmt: skip
    same = {"name": "IdentityLayer", "in_channels": [inp], "out_channels": [out]}
    shortcut = same if stride == 1 and inp == out else None
    return {"name": "MobileInvertedResidualBlock", "mobile_inverted_conv": inner, "shortcut": shortcut}
