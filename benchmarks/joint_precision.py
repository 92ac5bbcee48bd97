"""Precision as a choice of the search, beside searching in float32 and quantising its front afterwards.

    python benchmarks/joint_precision.py [--seeds N] [--evaluations N] [--images N] [--fresh]

The embedded supernet, top-1 against the bytes of its weights. Three ways to spend as many evaluations: a search over
both precisions, a search in float32 two thirds long whose front is then quantised, evenly from cheap to dear, and a
search in int8 alone. Every accuracy is measured as a search measures it, on so many images of the validation split,
and kept in runs/benchmarks/joint_precision/accuracies.jsonl, so that a stopped benchmark goes on; what each search found is in
runs/benchmarks/joint_precision.json. Sizes need no quiet machine, and the figures depend on none.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import moocore
import numpy as np
from results import OUT, Results, Row, spread

import oncefit
from search.runs.front import front
from search.runs.measuring import MeasuredAccuracy
from search.runs.results import evenly
from supernet.archs.arch import BITS_OF, FLOAT32, INT8, PRECISION, Arch
from supernet.families.catalog import open_supernet
from supernet.images.data import load_dataset

SUPERNET = "fmnist_mbv3"
COST = "weights_bytes"
OBJECTIVES = ("top1", COST)
BUDGETS = (60_000, 100_000, 250_000)
"""Bytes, of 49,802 to 1,399,176 that subnets have in the two precisions."""
WORST = (0.85, 1_400_000)
"""Top-1 and bytes that hypervolumes are measured from."""
CALIBRATED_ON = 500
"""Images of the calibration split, for batch norms; a search takes all 2,000."""
IN_FLOAT32_FIRST = 2 / 3
"""Of the evaluations, those of the search whose front is quantised with the others."""
NAME = "joint_precision"
ACCURACIES = OUT / NAME / "accuracies.jsonl"
WAYS = {"joint": (FLOAT32, INT8), "fp32, then its front in int8": (FLOAT32,), "int8 alone": (INT8,)}
Point = tuple[float, float]
"""Top-1 and bytes."""


class Oracle:
    """Arch -> top-1 at its precision, on some images of the validation split; measured once."""

    def __init__(self, images: int) -> None:
        supernet = open_supernet(SUPERNET)
        assert supernet.data is not None
        whole = load_dataset(supernet.data, supernet)
        self.images, self.measure = images, MeasuredAccuracy(supernet, supernet.data)
        cut = {"validation": spread_over(whole.validation, images),
               "calibration": spread_over(whole.calibration, CALIBRATED_ON)}  # fmt: skip
        self.measure.__dict__["data"] = replace(whole, **cut)
        self.known: dict[str, float] = {}
        if ACCURACIES.exists():
            rows = map(json.loads, ACCURACIES.read_text().splitlines())
            self.known = {row["arch"]: row["top1"] for row in rows if row["images"] == images}

    def __call__(self, arch: Arch) -> float:
        if arch.id not in self.known:
            self.known[arch.id] = self.measure(arch, "validation").top1
            ACCURACIES.parent.mkdir(parents=True, exist_ok=True)
            with ACCURACIES.open("a") as file:
                row = {"arch": arch.id, "images": self.images, "top1": self.known[arch.id]}
                file.write(json.dumps(row) + "\n")
        return self.known[arch.id]


def spread_over(images: Any, count: int) -> Any:
    """So many of the images, evenly."""
    return images.picked(np.linspace(0, len(images) - 1, count).round().astype(int).tolist())


def found_by(way: str, seed: int, evaluations: int, accuracy: Callable[[Arch], float]) -> Row:
    """What a way finds: top-1, bytes and precision of all that it evaluated."""
    both = way.startswith("fp32")
    trials = round(evaluations * IN_FLOAT32_FIRST) if both else evaluations
    with tempfile.TemporaryDirectory() as folder:
        run = oncefit.search(
            SUPERNET, objectives=OBJECTIVES, precision=WAYS[way], accuracy=accuracy, trials=trials, seed=seed,
            out=Path(folder) / "run", say=lambda _: None,
        )  # fmt: skip
        result = run.result
    points = [(c.value("top1"), c.costs[COST], c.arch.precision) for c in result.candidates]
    if both:
        space = open_supernet(SUPERNET).at_precisions([INT8]).space
        cost = oncefit_cost()
        for chosen in evenly(front(result.candidates, result.run.axes), evaluations - trials):
            arch = space.arch({**chosen.arch.values, PRECISION: BITS_OF[INT8]})
            points.append((accuracy(arch), cost(arch), INT8))
    return {"points": points}


def oncefit_cost() -> Callable[[Arch], float]:
    """Bytes of the weights in int8."""
    from cost_models.protocol import Target
    from cost_models.registry import build

    return build(COST, Target(open_supernet(SUPERNET).at_precisions([INT8])))


def hypervolume(points: Sequence[Sequence[object]]) -> float:
    """Share of the box from :data:`WORST` to all images right at no bytes, bytes by their logarithm."""
    worst_top1, worst_bytes = WORST
    least = 49_000.0  # no subnet has so few
    kept = [
        (1 - float(top1), float(np.log(float(size) / least)))  # type: ignore[arg-type]
        for top1, size, _ in points
    ]
    reference = (1 - worst_top1, float(np.log(worst_bytes / least)))
    box = reference[0] * reference[1]
    return float(moocore.hypervolume(np.array(kept), ref=reference)) / box


def best_within(points: Sequence[Sequence[object]], budget: float) -> float | None:
    """Top-1 of the most accurate that is no larger; None where none is."""
    kept = [float(top1) for top1, size, _ in points if float(size) <= budget]  # type: ignore[arg-type]
    return max(kept, default=None)


def front_of(points: Sequence[Sequence[object]]) -> list[Sequence[object]]:
    """The points that no other dominates, from small to large."""
    signed = np.array([(-float(top1), float(size)) for top1, size, _ in points])  # type: ignore[arg-type]
    kept = moocore.is_nondominated(signed, keep_weakly=False)
    return sorted((p for p, keep in zip(points, kept, strict=True) if keep), key=lambda p: float(p[1]))  # type: ignore[arg-type]


def table(rows: Sequence[Row]) -> list[str]:
    """A line a way: medians with ranges over the seeds."""
    heads = " | ".join(f"top-1 (%) in {budget // 1000:,} kB" for budget in BUDGETS)
    lines = [f"| search | hypervolume | {heads} |", "|---|---|" + "---|" * len(BUDGETS)]
    for way in WAYS:
        mine = [row["points"] for row in rows if row["peer"] == way]
        volumes = spread(map(hypervolume, mine), ".4f")
        bests = [[best_within(points, budget) for points in mine] for budget in BUDGETS]
        cells = [spread([100 * top1 for top1 in found if top1 is not None], ".2f") for found in bests]
        lines.append(f"| {way} | {volumes} | {' | '.join(cells)} |")
    return lines


def front_table(rows: Sequence[Row]) -> list[str]:
    """The front over all that any search evaluated."""
    every = {tuple(point) for row in rows for point in row["points"]}
    lines = ["| weights (bytes) | precision | top-1 (%) |", "|---|---|---|"]
    for top1, size, precision in front_of(sorted(every)):
        lines.append(f"| {size:,.0f} | {precision} | {100 * float(top1):.2f} |")  # type: ignore[arg-type]
    return lines


def lost(oracle: Oracle) -> str:
    """What int8 costs in top-1, of the networks that were measured in both precisions."""
    pairs = [
        100 * (oracle.known[arch.removesuffix("-int8")] - top1)
        for arch, top1 in oracle.known.items()
        if arch.endswith("-int8") and arch.removesuffix("-int8") in oracle.known
    ]
    if not pairs:
        return "no network was measured in both precisions"
    return (
        f"{len(pairs)} networks in both precisions: int8 loses {statistics.median(pairs):.2f} points of top-1 "
        f"[{min(pairs):.2f}, {max(pairs):.2f}]"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--evaluations", type=int, default=18)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--fresh", action="store_true", help="forget what earlier searches found")
    given = parser.parse_args()
    results, oracle = Results(NAME, fresh=given.fresh), Oracle(given.images)
    rows = []
    for seed in range(given.seeds):
        for way in WAYS:
            key = {"peer": way, "seed": seed, "evaluations": given.evaluations, "images": given.images}
            row = results.row(
                lambda way=way, seed=seed: found_by(way, seed, given.evaluations, oracle),  # type: ignore[misc]
                **key,
            )
            rows.append(row)
            print(f"{way}, seed {seed}: hypervolume {hypervolume(row['points']):.4f}", flush=True)
    print("\n".join([*table(rows), "", lost(oracle), "", *front_table(rows)]))


if __name__ == "__main__":
    main()
