"""A few subnets for many devices: how many processor seconds the exact choice takes, what it loses, and when one proxy device is enough.

    python benchmarks/portfolio.py [--part speed|gpus|searched|proxy|all] [--seeds N] [--reference FOLDER]

Speed: 40 made-up devices and 2,000 random subnets of w1.0 with the predictor that ships, each device with prices of its
own for every kind of layer and a budget between the tenth and the eightieth percentile of its latencies; and the same
with latencies that have nothing to do with each other, which no devices have.

GPUs: the nine columns of the published whole-network latencies and OFA's predictor for w1.2, for the subnets at the
resolutions that it knows. Budgets are percentiles of each column, of which 3 % are held back. Once each device's
latencies are those of its column; once they are predicted by a model fitted to 1,000 subnets at the other resolutions,
and the column tells what they truly are.

Searched: the same devices by those models, with the candidates of a search for all of them on predicted accuracy.

Proxy: for every pair of columns, and of the 40 made-up devices, the rank correlation of the latencies, and what is lost
where a device chooses from the front of the other alone.

The last three need the published predictor and latencies (the made-up devices do not).
"""

from __future__ import annotations

import argparse
import csv
import itertools
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from fleet import CSV, FITTED_ROWS
from oracles import REFERENCE, need
from results import spread

import oncefit
from cost_models.device import Device
from cost_models.device_files import write_device
from cost_models.feature_sums import feature_sums
from cost_models.latency_csv import read_latency_csv
from cost_models.latency_fit import fit
from cost_models.profiling import LatencyMeasurement
from search.predictors.files import open_predictor
from search.runs.one_proxy import rank_correlations
from supernet.arrays import Floats
from supernet.families.catalog import open_supernet

DEVICES, CANDIDATES = 40, 2_000
SLACK = 0.03
PERCENTILES = (25, 50, 75)
NUMBERS = (1, 2, 3, 4, 8)
KNOWN = (160, 176, 192, 208, 224)
"""Resolutions that OFA's predictor was trained on."""
PATIENCE = {"related": 240.0, "unrelated": 20.0}
"""Seconds that proofs may take: of the former so many that what is told is how long they do."""
KEPT = 200
"""Candidates of each device that a search keeps."""


def quiet(_: str) -> None:
    """Nobody reads it."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=("speed", "gpus", "searched", "proxy", "all"), default="all")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--reference", type=Path, default=REFERENCE)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="oncefit-") as scratch:
        if given.part in ("speed", "all"):
            speed(given.seeds, Path(scratch))
        if given.part in ("gpus", "searched", "proxy", "all"):
            published = Published(given.reference, Path(scratch))
        if given.part in ("gpus", "all"):
            gpus(published)
        if given.part in ("searched", "all"):
            searched(published, Path(scratch))
        if given.part in ("proxy", "all"):
            proxies(published, given.seeds)


# -- speed ---------------------------------------------------------------------------


def speed(seeds: int, scratch: Path) -> None:
    print(f"{DEVICES} devices, {CANDIDATES:,} candidates")
    head = f"{'latencies':>12} {'K':>3} {'seconds for K':>22} {'with the curve':>22} {'gap (points)':>22} {'curve proven':>14}"
    print(head)
    for kind in ("related", "unrelated"):
        tables = [made(kind, seed) for seed in range(seeds)]
        for most in (2, 4, 8):
            rows = [timed(*table, most, PATIENCE[kind], scratch) for table in tables]
            fewest = [row for row in rows if row is not None]
            if not fewest:
                print(f"{kind:>12} {most:>3} {'no choice of so few keeps all budgets':>40}")
                continue
            alone, whole, gap = ([row[i] for row in fewest] for i in range(3))
            shares = f"{sum(row[3] for row in fewest)} of {sum(row[4] for row in fewest)}"
            print(
                f"{kind:>12} {most:>3} {spread(alone, '.1f'):>22} {spread(whole, '.1f'):>22} {spread(gap, '.4f'):>22} {shares:>14}"
            )


def made(kind: str, seed: int) -> tuple[Floats, Floats]:
    """Top-1 (candidates,) and latencies (devices, candidates)."""
    supernet = open_supernet("ofa_mbv3_w1.0")
    predictor = open_predictor(supernet.name, supernet)
    part = supernet.restricted(predictor.card.domain)
    rng = np.random.default_rng(seed)
    codes = part.space.sample(CANDIDATES, rng)
    top1 = predictor.predict(part.space, codes).top1
    if kind == "unrelated":
        return top1, rng.lognormal(0, 0.5, (DEVICES, CANDIDATES))
    sums = feature_sums(part).of(codes)
    varied = sums.std(axis=0) > 0
    return top1, rng.lognormal(0, 1, (DEVICES, varied.sum())) @ (
        sums[:, varied] / sums[:, varied].mean(axis=0)
    ).T


def timed(
    top1: Floats, latency: Floats, most: int, patience: float, scratch: Path
) -> tuple[float, float, float, int, int] | None:
    """Seconds for one number, and with the curve; gap; how many numbers of the curve are proven, and are there."""
    from search.feasible.few_for_many import choose_few, fewest

    rng = np.random.default_rng(0)
    budgets = [float(np.percentile(row, rng.uniform(10, 80))) for row in latency]
    weights = rng.lognormal(0, 1, len(latency)).round(3)
    began = time.process_time()
    can = latency <= np.array(budgets)[:, None]
    losses = np.where(can, -100 * top1, np.inf)
    losses = losses - losses.min(axis=1, keepdims=True)
    start, least = fewest(losses, patience)
    if most < least:
        return None
    alone = choose_few(losses, weights / weights.sum(), most, patience, [start] if start is not None else [])
    seconds = time.process_time() - began
    assert alone is not None
    path = scratch / "made.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "top1", *(f"device-{i}" for i in range(len(latency)))])
        writer.writerows(
            [f"c{i}", repr(float(top1[i])), *map(repr, latency[:, i].tolist())] for i in range(len(top1))
        )
    devices = {
        f"device-{i}": {"budgets": {"latency_ms": limit}, "requests_per_day": weight}
        for i, (limit, weight) in enumerate(zip(budgets, weights.tolist(), strict=True))
    }
    began = time.process_time()
    found = oncefit.fleet(candidates=path, devices=devices, subnets=most, seconds=patience, say=quiet)
    curve = found.curve["proven"].dropna()
    return (
        seconds, time.process_time() - began, found.lost - found.lost_at_least, int((curve == True).sum()), len(curve),  # noqa: E712
    )  # fmt: skip


# -- the published GPUs ------------------------------------------------------------------


class Published:
    """The published latencies: files for a portfolio, and what is true of the subnets that the predictor knows."""

    def __init__(self, reference: Path, scratch: Path) -> None:
        self.file = need(reference / CSV)
        self.predictor = scratch / "w12.safetensors"
        self.supernet = open_supernet("ofa_mbv3_w1.2")
        oncefit.import_predictor(
            "w12", need(reference / "acc_predictor.pth"), self.supernet.name, out=self.predictor
        )
        rows = read_latency_csv(self.file, self.supernet)
        inside = np.array([arch.values["resolution"] in KNOWN for arch in rows.archs])
        self.archs = [rows.archs[i] for i in np.flatnonzero(inside)]
        self.true = {name: rows.column(name)[inside] for name in rows.names}
        chosen = np.random.default_rng(0).permutation(np.flatnonzero(~inside))[:FITTED_ROWS]
        self.devices = {}
        for name in rows.names:
            times = rows.column(name)
            measured = [LatencyMeasurement(times[i], times[i], times[i], 1) for i in chosen]
            model = fit(self.supernet, [rows.archs[i] for i in chosen], measured)
            self.devices[name] = scratch / f"{name}-fitted.yaml"
            write_device(Device(name=f"{name}-fitted", latency=model), self.devices[name])

    def budgets(self, percentile: int) -> dict[str, float]:
        return {name: float(np.percentile(times, percentile)) for name, times in self.true.items()}

    def measured(self, percentile: int, most: int = 2) -> oncefit.Portfolio:
        """By the latencies of the file."""
        return self.portfolio(
            {name: {"latency_ms": limit} for name, limit in self.budgets(percentile).items()}, most
        )

    def predicted(self, percentile: int, cost: str = "latency_ms", slack: float = SLACK) -> oncefit.Portfolio:
        """By models that were fitted to other subnets."""
        limits = self.budgets(percentile)
        return self.portfolio({str(self.devices[name]): {cost: limits[name]} for name in limits}, 2, slack)

    def portfolio(
        self, devices: Mapping[str, Mapping[str, float]], most: int, slack: float = SLACK
    ) -> oncefit.Portfolio:
        return oncefit.fleet(
            candidates=self.file, supernet=self.supernet.name, predictor=str(self.predictor), devices=devices, subnets=most,
            slack=slack, say=quiet,
        )  # fmt: skip


def gpus(published: Published) -> None:
    count = len(published.archs)
    print(f"\n{len(published.true)} published GPU settings, {count:,} subnets, slack {100 * SLACK:g} %")
    print(f"{'latencies':>28} {'percentile':>11} {'lost at K = 1':>14} {'K = 2':>8} {'K = 3':>8} {'worst at 2':>11} {'chosen above':>13} {'all above':>18}")  # fmt: skip
    for percentile in PERCENTILES:
        for told, found in (
            ("measured", published.measured(percentile)),
            ("predicted", published.predicted(percentile)),
            ("predicted, 95 % bound", published.predicted(percentile, "latency_p95_ms", 0.0)),
        ):
            losses = [found.curve["lost"].get(k, float("nan")) for k in (1, 2, 3)]
            chosen, inside, above = violations(published, found, percentile)
            print(
                f"{told:>28} {percentile:>11} {losses[0]:>14.3f} {losses[1]:>8.3f} {losses[2]:>8.3f} {found.curve['worst'][2]:>11.3f} "
                f"{f'{len(chosen)} of {len(published.true)}':>13} {f'{above:,} of {inside:,}':>18}"
            )
            for line in chosen:
                print(f"{'':>28} {line}")


def violations(published: Published, found: oncefit.Portfolio, percentile: int) -> tuple[list[str], int, int]:
    """Chosen subnets that are truly above a budget; of all that are taken to be within one, how many are truly above it."""
    made, limits = found.found.portfolio, published.budgets(percentile)
    place = {arch.id: i for i, arch in enumerate(published.archs)}
    order = [place[name] for name in made.pool.names]
    chosen, inside, above = [], 0, 0
    for i, one in enumerate(made.served):
        name = one.name.removesuffix("-fitted")
        true = published.true[name][order]
        kept = one.within(made.asked.slack)
        inside, above = inside + int(kept.sum()), above + int((true[kept] > limits[name]).sum())
        over = float(true[made.kept.of_device[i]] / limits[name] - 1)
        if over > 0:
            chosen.append(
                f"{name}: the chosen subnet took {100 * over:.1f} % more than its budget when it was measured"
            )
    return chosen, inside, above


# -- a search for all of them -------------------------------------------------------------


def searched(published: Published, scratch: Path) -> None:
    print(
        f"\ncandidates of a search on predicted accuracy, {KEPT} kept for each device, slack {100 * SLACK:g} %"
    )
    print(f"{'percentile':>11} {'seconds of search':>18} {'candidates':>11} {'of portfolio':>13} {'lost at K = 1':>14} {'K = 2':>8} {'K = 3':>8} {'worst at 2':>11}")  # fmt: skip
    for percentile in PERCENTILES:
        limits = published.budgets(percentile)
        devices = {
            str(path): {"latency_ms": limits[name] * (1 - SLACK)} for name, path in published.devices.items()
        }
        began = time.process_time()
        fleet = oncefit.search_fleet(
            published.supernet.name, devices=devices, accuracy="predicted", predictor=str(published.predictor),
            objectives=["top1", "latency_ms"], trials=KEPT, space={"resolution": KNOWN}, out=scratch / f"searched-{percentile}", say=quiet,
        )  # fmt: skip
        seconds, began = time.process_time() - began, time.process_time()
        found = oncefit.fleet(run=fleet, subnets=2)
        took = time.process_time() - began
        losses = [found.curve["lost"].get(k, float("nan")) for k in (1, 2, 3)]
        print(
            f"{percentile:>11} {seconds:>18.0f} {len(found.found.portfolio.pool.names):>11,} {took:>13.1f} {losses[0]:>14.3f} "
            f"{losses[1]:>8.3f} {losses[2]:>8.3f} {found.curve['worst'][2]:>11.3f}"
        )


# -- one proxy ------------------------------------------------------------------------------

BINS = (-1.0, 0.5, 0.8, 0.9, 0.95, 0.99, 1.0)


def proxies(published: Published, seeds: int) -> None:
    print("\nfronts of one device, the proxy, for another: what is lost, by rank correlation of latencies")
    print(
        f"{'correlation':>16} {'GPU settings: pairs':>20} {'lost (points)':>24} {'made-up: pairs':>16} {'lost (points)':>24}"
    )
    found = published.measured(50, 2)
    made_up = [pairs_of(*made("related", seed)) for seed in range(seeds)]
    pools = [pairs_of(found.found.portfolio.pool.top1, np.array([one.costs["latency_ms"] for one in found.found.portfolio.served])), np.concatenate(made_up)]  # fmt: skip
    for low, high in itertools.pairwise(BINS):
        cells = []
        for pairs in pools:
            mine = pairs[(pairs[:, 0] > low) & (pairs[:, 0] <= high)]
            served = mine[np.isfinite(mine[:, 1]), 1]
            cells += [
                len(mine),
                spread(served, ".3f")
                + (f" ({len(mine) - len(served)} none)" if len(served) < len(mine) else ""),
            ]
        print(f"{f'{low:g} to {high:g}':>16} {cells[0]:>20} {cells[1]:>24} {cells[2]:>16} {cells[3]:>24}")
    told: Any = found.to_dict()["one_proxy"]
    print(f"\nthe GPU settings at the median, slack {100 * SLACK:g} %: one proxy for all")
    for one in sorted(told["proxies"], key=lambda one: -one["mean_spearman"]):
        print(
            f"{one['device']:>14}: mean correlation {one['mean_spearman']:.3f}, least {one['least_spearman']:.3f}; "
            f"{one['front_size']} subnets; lost {one['lost']:.3f} points, {one['worst']:.3f} on {one['worst_device']}"
        )


def pairs_of(top1: Floats, latency: Floats) -> Floats:
    """(correlation, lost points) of every ordered pair of devices, whose budgets are their medians; infinite for none."""
    from search.runs.one_proxy import proxy_front

    correlations = rank_correlations(latency)
    rows = []
    for p, proxy in enumerate(latency):
        front = proxy_front(top1, proxy)
        for t, target in enumerate(latency):
            if p != t:
                limit = np.median(target)
                mine = front[target[front] <= limit]
                best = 100 * (top1[target <= limit].max() - top1[mine].max()) if len(mine) else np.inf
                rows.append((correlations[p, t], best))
    return np.array(rows)


if __name__ == "__main__":
    main()
