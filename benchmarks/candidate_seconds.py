"""Seconds that a search needs for one candidate: extract, recalibrate, evaluate on the validation split.

python benchmarks/candidate_seconds.py [--json]
"""

from __future__ import annotations

import json
import statistics
import sys
import time

import numpy as np

from search.runs.measuring import MeasuredAccuracy
from supernet.families.catalog import open_supernet

ARCHS = 30


def main() -> None:
    supernet = open_supernet("fmnist_mbv3")
    accuracy = MeasuredAccuracy(supernet, supernet.data)
    space = supernet.space
    accuracy(space.smallest(), "validation")  # loads weights and images
    seconds = []
    for arch in [*space.decode(space.sample(ARCHS, np.random.default_rng(0))), space.largest()]:
        began = time.perf_counter()
        accuracy(arch, "validation")
        seconds.append(time.perf_counter() - began)
    figures = {
        "random_archs": ARCHS,
        "mean_s": statistics.mean(seconds[:-1]),
        "median_s": statistics.median(seconds[:-1]),
        "worst_s": max(seconds[:-1]),
        "largest_arch_s": seconds[-1],
    }
    if "--json" in sys.argv:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{name:16} {value:.3g}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
