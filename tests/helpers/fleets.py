"""Devices that order the archs of a small space differently, and made-up accuracies."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import yaml

from cost_models.device import Device
from cost_models.latency import latency_ms
from cost_models.protocol import Target
from supernet import documents
from supernet.archs.arch import Arch
from supernet.families.catalog import Supernet
from tests.helpers.tiny import PRICES_MS, all_archs

SCALES = {"slow": 1.0, "wide": 0.7, "deep": 1.3}


def made_devices(folder: Path, supernet: Supernet) -> dict[str, str]:
    """Files of devices that order archs differently: each pays more for some kinds of layer."""
    files = {}
    for number, (name, scale) in enumerate(SCALES.items()):
        prices = {
            feature: price * scale * (4.0 if place % len(SCALES) == number else 1.0)
            for place, (feature, price) in enumerate(PRICES_MS.items())
        }
        latency = {
            "supernet": supernet.name, "fingerprint": supernet.fingerprint, "intercept_ms": 0.003,
            "coefficients": prices, "subnets": 1, "error_percent": 0.0, "folds": 1, "spread_percent": 0.0,
        }  # fmt: skip
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"name": name, "latency": latency}))
        files[name] = str(path)
    return files


class Judge:
    """Made-up accuracies that grow with the work of an arch, and how often each arch was asked for."""

    def __init__(self, supernet: Supernet) -> None:
        self.supernet = supernet
        self.asked: Counter[str] = Counter()

    def __call__(self, arch: Arch) -> float:
        self.asked[arch.id] += 1
        return self.accuracy(arch)

    def accuracy(self, arch: Arch) -> float:
        work = sum(layer.macs for layer in self.supernet.layers(arch))
        noise = int(hashlib.sha256(arch.id.encode()).hexdigest()[:4], 16) / 2**16
        return 0.5 + 0.3 * (work / 1e6) ** 0.3 + 0.005 * noise


def budgets_of(supernet: Supernet, files: dict[str, str]) -> dict[str, float]:
    """For each device the median latency of all archs."""
    found = {}
    for name, file in files.items():
        cost = latency_ms(Target(supernet, documents.read(Path(file), Device)))
        found[name] = sorted(cost(arch) for arch in all_archs(supernet))[400]
    return found
