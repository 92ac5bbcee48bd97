"""Quality of the embedded supernet on the report split: the figures of its model card.

python benchmarks/supernet_quality.py [--json] [--alone FOLDER]

Subnets are extracted and their batch norms recalibrated; nothing is fine-tuned.
FOLDER (runs/training/fmnist_mbv3 without) holds what
`oncefit train configs/training/fmnist_mbv3.yaml --alone SIZE` left: the same
archs trained from scratch for as many images. Sizes that are not there are left out.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from safetensors.torch import load_file

from cost_models.protocol import Target
from cost_models.registry import build
from search.runs.measuring import MeasuredAccuracy
from supernet.evaluating.evaluation import evaluate, recalibrate_on_images
from supernet.families.catalog import open_supernet
from supernet.training.training_job import SIZES, arch_of_size

RANDOM_ARCHS = 50
SEED = 2026


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--alone", type=Path, default=Path("runs/training/fmnist_mbv3"))
    options = parser.parse_args()
    from scipy.stats import spearmanr

    supernet = open_supernet("fmnist_mbv3")
    space = supernet.space
    accuracy = MeasuredAccuracy(supernet, supernet.data)
    data = accuracy.data
    macs, params = (build(name, Target(supernet)) for name in ("macs", "params"))
    sizes = {}
    for size in SIZES:
        arch = arch_of_size(space, size)
        found = accuracy(arch, "report")
        row = {"arch_id": arch.id, "macs": macs(arch), "top1": found.top1, "top5": found.top5,
               "top1_low": found.top1_low, "top1_high": found.top1_high}  # fmt: skip
        weights = options.alone / f"{size}.safetensors"
        if weights.exists():
            alone = supernet.family.static(arch)
            alone.load_state_dict(load_file(weights))
            recalibrate_on_images(alone, arch.resolution, data)
            row["alone_top1"] = evaluate(alone.eval(), arch, data, "report").top1
        sizes[size] = row
    archs = space.decode(space.sample(RANDOM_ARCHS, np.random.default_rng(SEED)))
    top1 = [accuracy(arch, "report").top1 for arch in archs]
    rank = float(spearmanr(top1, [macs(arch) for arch in archs]).statistic)
    figures = {
        "subnets": space.size,
        "params_range": [params.reach().minimum, params.reach().maximum],
        "sizes": sizes,
        "largest_minus_smallest_points": 100 * (sizes["large"]["top1"] - sizes["small"]["top1"]),
        "random_archs": RANDOM_ARCHS,
        "random_top1_range": [min(top1), max(top1)],
        "spearman_top1_macs": rank,
    }
    if options.json:
        print(json.dumps(figures))
        return
    least, most = (value / 1e3 for value in figures["params_range"])
    print(f"{space.size:.4g} subnets, {least:.0f} to {most:.0f} k parameters")
    print("size     MACs (M)  top-1 % [95 %]           top-5 %  alone, top-1 %  behind, points")
    for size, row in sizes.items():
        alone = row.get("alone_top1")
        beside = (
            f"{100 * alone:14.2f}  {100 * (alone - row['top1']):14.2f}" if alone else "  not trained here"
        )
        interval = f"[{100 * row['top1_low']:.2f}, {100 * row['top1_high']:.2f}]"
        print(
            f"{size:8} {row['macs'] / 1e6:8.2f}  {100 * row['top1']:.2f} {interval:18} {100 * row['top5']:7.2f}  {beside}"
        )
    print(f"largest minus smallest: {figures['largest_minus_smallest_points']:.2f} points")
    low, high = (100 * value for value in (min(top1), max(top1)))
    print(f"{RANDOM_ARCHS} random subnets: top-1 {low:.2f} to {high:.2f} %, Spearman with MACs {rank:.3f}")


if __name__ == "__main__":
    main()
