"""What it saves, and costs, to end a search when its carbon exceeds what it can be expected to save.

python benchmarks/carbon_stop.py [--seeds 5] [--trials 120]

The embedded supernet on this machine, objectives top-1 and co2e_mg. Some subnets are measured once (kept in
runs/benchmarks/carbon_stop.json); searches then take a fit to their top-1 for an accuracy, so that many can be made,
and a trial is charged the mean CPU seconds that the measured ones took. Each search is made whole, and the rule is
held against its record for deployments of different size: where it would have ended, and what search and deployment
then emit together, beside the whole search and beside the best moment to end, which only hindsight knows.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from results import Results, machine

import oncefit
from cost_models.carbon_ledger import MG_PER_KG
from search.runs.carbon_stop import CarbonStop, prospect, trial_kg
from search.runs.measuring import MeasuredAccuracy
from supernet.archs.arch import Arch
from supernet.families.catalog import open_supernet

NAME, SUPERNET = "carbon_stop", "fmnist_mbv3"
MEASURED = 48
TOP1 = 0.915
"""What the deployment must reach."""
REQUESTS = (1e4, 1e5, 1e6, 1e7, 1e8, 1e9)
SAMPLERS = ("guided", "random")
AFTER = 10


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=120)
    given = parser.parse_args()
    results = Results(NAME)
    rows = measured(results)
    accuracy, error = fitted(rows)
    each = trial_kg(CarbonStop(requests=1, top1=TOP1), statistics.mean(row["cpu_s"] for row in rows))
    print(f"{machine()['cpu']}, {machine()['cores']} cores; {len(rows)} subnets measured, their fit's error "
          f"{100 * error:.2f} points; a trial emits {1e6 * each:.2f} mg of CO2e")  # fmt: skip
    for sampler in SAMPLERS:
        histories = [
            results.row(
                lambda s=sampler, i=seed: searched(s, i, given.trials, accuracy),
                peer=sampler,
                seed=seed,
                trials=given.trials,
            )  # type: ignore[misc]
            for seed in range(given.seeds)
        ]
        table(sampler, [row["values"] for row in histories], histories[0]["largest"], each)


def measured(results: Results) -> list[dict]:
    """Top-1 on the validation split, and CPU seconds, of subnets of all sizes."""
    supernet = open_supernet(SUPERNET)
    judge = MeasuredAccuracy(supernet, supernet.data)
    space = supernet.space
    codes = space.sample(MEASURED - 2, np.random.default_rng(0))
    archs = [space.smallest(), space.largest(), *space.decode(codes)]

    def one(arch: Arch) -> dict:
        began = time.process_time()
        return {
            "top1": judge(arch, "validation").top1, "cpu_s": time.process_time() - began, "values": arch.values,
            "features": features(arch, supernet),
        }  # fmt: skip

    judge.load()
    return [results.row(lambda a=arch: one(a), peer="measured", arch=arch.id) for arch in archs]  # type: ignore[misc]


def features(arch: Arch, supernet: object) -> list[float]:
    """What a subnet's top-1 is fitted by: its size and its square, its resolution, depth and kernels."""
    layers = supernet.layers(arch)  # type: ignore[attr-defined]
    size = np.log(sum(layer.macs for layer in layers) / 1e6)
    weights = np.log(sum(layer.params for layer in layers) / 1e5)
    kernels = [float(v) for k, v in arch.values.items() if k.startswith("kernel")]
    return [1.0, size, size**2, weights, weights**2, arch.resolution / 28, statistics.mean(kernels) / 7]


def fitted(rows: Sequence[dict]) -> tuple[Callable[[Arch], float], float]:
    """Least squares of the error rate's logarithm, and its leave-one-out error in top-1."""
    supernet = open_supernet(SUPERNET)
    x = np.array([row["features"] for row in rows])
    y = np.log(1 - np.array([row["top1"] for row in rows]))
    found = np.linalg.lstsq(x, y, rcond=None)[0]
    hat = np.diag(x @ np.linalg.pinv(x))
    held_out = y - (y - x @ found) / (1 - hat)
    error = float(np.median(np.abs(np.exp(held_out) - np.exp(y))))
    return (lambda arch: float(1 - np.exp(np.array(features(arch, supernet)) @ found))), error


def searched(sampler: str, seed: int, trials: int, accuracy: Callable[[Arch], float]) -> dict:
    """The co2e_mg of each trial in turn, that of the largest subnet where it misses the top-1."""
    with tempfile.TemporaryDirectory() as folder:
        run = oncefit.search(
            SUPERNET, objectives=["top1", "co2e_mg"], device="host", sampler=sampler, trials=trials, seed=seed,
            accuracy=accuracy, out=Path(folder) / "run",
        )  # fmt: skip
        inner = run.result.run
        largest = inner.costs["co2e_mg"](inner.supernet.space.largest())
        made = sorted(run.result.candidates, key=lambda c: c.number)
        values = [c.costs["co2e_mg"] if c.value("top1") >= TOP1 else largest for c in made]
    return {"values": values, "largest": largest}


def ends_after(values: Sequence[float], requests: float, each: float) -> int:
    """After how many trials the rule ends this search."""
    for n in range(AFTER, len(values)):
        if not prospect(values[:n], len(values) - n, requests, each).pays:
            return n
    return len(values)


def table(sampler: str, histories: Sequence[Sequence[float]], largest: float, each: float) -> None:
    """Of each size of deployment: medians over the seeds, and of the worst seed the loss against the whole search."""
    print(f"\n{sampler}, {len(histories)} seeds x {len(histories[0])} trials; grams of CO2e, medians")
    print(f"{'requests':>9} {'ends after':>10} {'search':>8} {'whole':>8} {'search + deployment':>20} {'whole':>8} "
          f"{'hindsight':>9} {'no search':>9} {'worst seed loses':>17}")  # fmt: skip
    for requests in REQUESTS:
        ends = [ends_after(values, requests, each) for values in histories]

        def total(values: Sequence[float], n: int, requests: float = requests) -> float:
            return 1e3 * (n * each + requests * min(values[:n]) / MG_PER_KG)

        stopped = [total(values, n) for values, n in zip(histories, ends, strict=True)]
        whole = [total(values, len(values)) for values in histories]
        best = [min(total(values, n) for n in range(1, len(values) + 1)) for values in histories]
        worst = max(s - w for s, w in zip(stopped, whole, strict=True))
        loss = (
            f"{100 * max(s / w - 1 for s, w in zip(stopped, whole, strict=True)):.1f} %"
            if worst > 0
            else "none"
        )
        print(f"{requests:>9.0e} {statistics.median(ends):>10.0f} {1e3 * each * statistics.median(ends):>8.4f} "
              f"{1e3 * each * len(histories[0]):>8.4f} {statistics.median(stopped):>20.5f} {statistics.median(whole):>8.5f} "
              f"{statistics.median(best):>9.5f} {1e3 * requests * largest / MG_PER_KG:>9.5f} {loss:>17}")  # fmt: skip


if __name__ == "__main__":
    main()
