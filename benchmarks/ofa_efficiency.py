"""Multiply-adds of ImageNet archs: ours in batches beside ``ofa``'s own efficiency models, in one process.

python benchmarks/ofa_efficiency.py [--json]

First both must give the same multiply-adds for 100 random archs of each space; then each is timed
in interleaved rounds, and medians are printed. ``ofa`` is given archs as its own search gives
them, dictionaries of choices; ours are integer codes of the space.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any

import numpy as np
from ofa.nas import efficiency_predictor

from cost_models.protocol import Target
from cost_models.registry import Cost, build
from supernet.archs.arch import Arch
from supernet.families.catalog import open_supernet
from supernet.ofa_format.settings import settings_of_arch

MODELS = {
    "ofa_mbv3_w1.0": "Mbv3FLOPsModel",
    "ofa_mbv3_w1.2": "Mbv3FLOPsModel",
    "ofa_proxyless_w1.3": "ProxylessNASFLOPsModel",
    "ofa_resnet50": "ResNet50FLOPsModel",
}
ARCHS, THEIRS, ROUNDS = 100_000, 100, 9


def main() -> None:
    rows = {name: measure(name) for name in MODELS}
    if "--json" in sys.argv:
        print(json.dumps(rows))
        return
    print(f"multiply-adds, archs a second: medians of {ROUNDS} interleaved rounds [least, greatest]")
    print(f"{'space':20} {'ours':>40} {'ofa':>22} {'ratio':>7}")
    for name, row in rows.items():
        ours, theirs = ("{:,.0f} [{:,.0f}, {:,.0f}]".format(*spread(row[kind])) for kind in ("ours", "ofa"))
        print(f"{name:20} {ours:>40} {theirs:>22} {row['ratio']:7,.0f}")


def spread(values: list[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


def measure(name: str) -> dict[str, Any]:
    """Archs a second of each round, and the ratio of the medians."""
    supernet = open_supernet(name)
    space = supernet.space
    cost = build("macs", Target(supernet))
    model = getattr(efficiency_predictor, MODELS[name])(supernet.family.elastic().net)
    codes = space.sample(ARCHS, np.random.default_rng(0))
    archs = space.decode(codes[:THEIRS])
    given = [settings_of_arch(space, arch) | {"image_size": arch.resolution} for arch in archs]
    agree(name, cost, archs, [model.get_efficiency(one) for one in given])
    ours, theirs = [], []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        cost.batch(codes)
        ours.append(ARCHS / (time.perf_counter() - began))
        began = time.perf_counter()
        for one in given:
            model.get_efficiency(one)
        theirs.append(THEIRS / (time.perf_counter() - began))
    return {"ours": ours, "ofa": theirs, "ratio": statistics.median(ours) / statistics.median(theirs)}


def agree(name: str, cost: Cost, archs: list[Arch], millions: list[float]) -> None:
    """Ends the benchmark where ``ofa``'s figure of an arch, in millions, is not ours."""
    for arch, theirs in zip(archs, millions, strict=True):
        if round(theirs * 1e6) != cost(arch):
            sys.exit(f"{name}: arch {arch.id} has {cost(arch):.0f} multiply-adds, by ofa {theirs * 1e6:.0f}")


if __name__ == "__main__":
    main()
