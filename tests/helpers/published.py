"""Facts that were published of single subnets, by their choices: what a clone without the published files checks against.

``SPECIALIZED`` are five rows of the table in the once-for-all README (MIT HAN Lab): each subnet's choices
are those of its net.config, its figures those of the table.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ofa.imagenet_classification.elastic_nn.networks import OFAMobileNetV3, OFAProxylessNASNets


@dataclass(frozen=True)
class Specialized:
    """A published subnet; one string of digits a stage, one digit a block."""

    name: str
    supernet: str
    width: float
    image_size: int
    kernels: tuple[str, ...]
    expands: tuple[str, ...]
    macs_millions: int
    params_millions: str

    def config(self) -> dict[str, Any]:
        """The net.config that ``ofa``'s own supernet writes of it, without memory for weights."""
        kind = OFAProxylessNASNets if "proxyless" in self.supernet else OFAMobileNetV3
        choices = {"ks_list": [3, 5, 7], "expand_ratio_list": [3, 4, 6], "depth_list": [2, 3, 4]}
        with torch.device("meta"):
            net = kind(width_mult=self.width, **choices)
            net.set_active_subnet(
                ks=of_all_blocks(self.kernels),
                e=of_all_blocks(self.expands),
                d=[len(s) for s in self.kernels[:5]],
            )
            return net.get_active_subnet(preserve_weight=False).config

    def write(self, folder: Path) -> Path:
        """Its net.config, and the run.config beside it that says the image size."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "run.config").write_text(json.dumps({"image_size": self.image_size}))
        path = folder / "net.config"
        path.write_text(json.dumps(self.config()))
        return path


def of_all_blocks(stages: Sequence[str]) -> list[int]:
    """One choice for each block of the supernet: four in each of five stages, then one in ProxylessNAS's last."""
    padded = [stage.ljust(4, "3") for stage in stages[:5]] + list(stages[5:])
    return [int(digit) for stage in padded for digit in stage]


SPECIALIZED = (
    Specialized(
        "flops-595M", "ofa_mbv3_w1.2", 1.2, 236,
        ("353", "5535", "7535", "3573", "3353"), ("343", "4463", "6634", "6664", "6663"), 595, "9.1",
    ),
    Specialized(
        "note10-30ms", "ofa_mbv3_w1.2", 1.2, 224,
        ("33", "533", "553", "333", "3333"), ("33", "434", "443", "644", "6643"), 339, "7.5",
    ),
    Specialized(
        "note10-16ms", "ofa_mbv3_w1.0", 1.0, 192,
        ("33", "5533", "553", "553", "3753"), ("33", "3443", "443", "443", "6443"), 163, "4.9",
    ),
    Specialized(
        "cpu-17ms", "ofa_proxyless_w1.3", 1.3, 208,
        ("33", "53", "373", "553", "353", "3"), ("34", "34", "633", "346", "643", "4"), 365, "4.9",
    ),
    Specialized(
        "1080ti-27ms", "ofa_proxyless_w1.3", 1.3, 188,
        ("33", "3533", "535", "535", "3573", "7"), ("33", "6644", "634", "644", "6636", "6"), 397, "6.5",
    ),
)  # fmt: skip
