"""A supernet small enough to list all its archs, and a device whose every price is known."""

from __future__ import annotations

import itertools
from pathlib import Path

import yaml

from supernet.archs.arch import Arch
from supernet.families.catalog import Supernet, open_supernet

INTERCEPT_MS = 0.0031
PRICES_MS = {
    "conv1.calls": 1.0e-3, "conv1.work": 9.3e-9, "conv1.bytes": 2.9e-8,
    "conv3.calls": 6.1e-3, "conv3.work": 7.7e-9, "conv3.bytes": 3.1e-8,
    "squeeze.calls": 7.1e-4, "squeeze.work": 8.9e-9, "squeeze.bytes": 1.3e-8,
    "depthwise3.calls": 2.0e-4, "depthwise3.work": 7.3e-8, "depthwise3.bytes": 3.7e-8,
    "depthwise5.calls": 8.3e-5, "depthwise5.work": 4.1e-8, "depthwise5.bytes": 4.7e-8,
    "depthwise7.calls": 9.8e-4, "depthwise7.work": 2.5e-8, "depthwise7.bytes": 5.3e-8,
    "h_sigmoid.bytes": 5.0e-7, "h_swish.bytes": 4.5e-8, "relu.bytes": 1.4e-8, "norm.bytes": 6.7e-9,
    "add.calls": 1.3e-4, "add.bytes": 7.3e-8, "linear.calls": 5.3e-4, "linear.work": 1.9e-8, "linear.bytes": 1.7e-8,
    "pool.calls": 2.3e-4, "pool.bytes": 7.9e-9, "scale.calls": 1.7e-4, "scale.bytes": 1.1e-8,
}  # fmt: skip
"""Milliseconds for each unit of a feature, all of them different and none zero, whatever the size of the maps."""
HELD_OUT = [i / 5000 for i in range(600)]
"""Of held-out subnets, log(measured / predicted)."""
STATIC_W, PJ_PER_MAC, PJ_PER_BYTE, REGION = 1.7, 4.3, 151.0, "FRA"


def open_tiny(folder: Path) -> Supernet:
    """800 archs, whose largest maps are those of a stage with squeeze-and-excitation."""
    choices = {"depths": [1, 2], "kernels": [3, 5], "expands": [2, 3]}
    network = {
        "classes": ["bag", "dress", "shoe"], "in_channels": 1, "resolutions": [9, 16],
        "stem_width": 8, "stem_stride": 1, "first_width": 8, "first_stride": 1, "head_width": 24,
        "stages": [
            {"width": 8, "stride": 1, "act": "relu", "se": True, **choices},
            {"width": 16, "stride": 2, "act": "h_swish", "se": False, **choices},
        ],
    }  # fmt: skip
    document = {"name": "tiny", "family": "mobilenet_v3", "data": "fashion_mnist", "network": network}
    document["preprocessing"] = {"stored": 28, "mean": [0.286], "std": [0.353]}
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump({**document, "weights": {"file": "none.safetensors", "sha256": "0"}}))
    return open_supernet(str(path))


def all_archs(supernet: Supernet) -> list[Arch]:
    """Every distinct arch of a small space."""
    dimensions = supernet.space.dimensions
    every = itertools.product(*(d.choices for d in dimensions))
    names = [d.name for d in dimensions]
    return list(dict.fromkeys(supernet.space.arch(dict(zip(names, row, strict=True))) for row in every))


def write_device(supernet: Supernet, path: Path) -> Path:
    """The YAML file of a device that is never measured."""
    latency = {
        "supernet": supernet.name, "fingerprint": supernet.fingerprint, "intercept_ms": INTERCEPT_MS,
        "coefficients": PRICES_MS, "subnets": 1, "error_percent": 0.0, "folds": 1, "spread_percent": 0.0,
        "held_out": HELD_OUT,
    }  # fmt: skip
    power = {
        "static_w": STATIC_W,
        "pj_per_mac": PJ_PER_MAC,
        "pj_per_byte": PJ_PER_BYTE,
        "source": "made up",
    }
    device = {"name": "known", "runtime": "none", "threads": 1, "region": REGION, "power": power}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({**device, "latency": latency}))
    return path
