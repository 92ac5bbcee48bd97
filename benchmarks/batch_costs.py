"""Archs a second of each cost model, in batches of 100,000 and one at a time, side by side.

python benchmarks/batch_costs.py [--json]
"""

from __future__ import annotations

import json
import statistics
import sys
import time

import numpy as np

from cost_models.devices import open_device
from cost_models.protocol import Target
from cost_models.registry import COSTS, build
from supernet.families.catalog import open_supernet

ARCHS, SINGLE, ROUNDS = 100_000, 500, 7


def main() -> None:
    supernet = open_supernet("fmnist_mbv3")
    device = open_device("host", supernet, lambda text: print(text, file=sys.stderr))
    codes = supernet.space.sample(ARCHS, np.random.default_rng(0))
    archs = supernet.space.decode(codes[:SINGLE])
    costs = {name: build(name, Target(supernet, device)) for name in COSTS}
    speeds: dict[str, dict[str, list[float]]] = {name: {"batch": [], "single": []} for name in costs}
    for _ in range(ROUNDS):
        for name, cost in costs.items():
            began = time.perf_counter()
            cost.batch(codes)
            speeds[name]["batch"].append(ARCHS / (time.perf_counter() - began))
            began = time.perf_counter()
            for arch in archs:
                cost(arch)
            speeds[name]["single"].append(SINGLE / (time.perf_counter() - began))
    medians = {
        name: {kind: statistics.median(values) for kind, values in found.items()}
        for name, found in speeds.items()
    }
    if "--json" in sys.argv:
        print(json.dumps(medians))
        return
    print(f"archs a second, medians of {ROUNDS} interleaved rounds")
    for name, found in medians.items():
        ratio = found["batch"] / found["single"]
        print(
            f"{name:20} batch {found['batch']:13,.0f}   one at a time {found['single']:9,.0f}   ratio {ratio:6.0f}"
        )


if __name__ == "__main__":
    main()
