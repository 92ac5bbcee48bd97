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

The last three need the published predictor and latencies. Rows of the first are kept in runs/benchmarks/portfolio.json, and
fitted devices beside it: a benchmark that was stopped goes on.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from fleet import CSV, FITTED_ROWS
from oracles import REFERENCE, need
from results import OUT, Results, Row, spread

import oncefit
from cost_models.device import Device
from cost_models.device_files import write_device
from cost_models.feature_sums import feature_sums
from cost_models.latency_csv import read_latency_csv
from cost_models.latency_fit import fit
from cost_models.profiling import LatencyMeasurement
from search.feasible.few_for_many import choose_few, fewest, undominated
from search.fleets.one_proxy import proxies_of, rank_correlations
from search.fleets.portfolio import Portfolio, make_portfolio
from search.fleets.portfolio_candidates import read_pool
from search.fleets.portfolio_file import read_portfolio
from search.predictors.files import open_predictor
from supernet.arrays import Floats
from supernet.errors import InputError
from supernet.families.catalog import open_supernet

DEVICES, CANDIDATES = 40, 2_000
SLACK = 0.03
PERCENTILES = (25, 50, 75)
KNOWN = (160, 176, 192, 208, 224)
"""Resolutions that OFA's predictor was trained on."""
PATIENCE = {"related": 240.0, "unrelated": 20.0}
"""Seconds that proofs may take: of the former so many that what is told is how long they do."""
ASKED = {"related": (2, 4, 8), "unrelated": (4, 8)}
FORMS = {"left": ".0f", "seconds": ".1f", "whole": ".1f", "gap": ".4f"}
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
    results = Results("portfolio")
    print(f"{DEVICES} devices, {CANDIDATES:,} candidates")
    print(
        f"{'latencies':>10} {'K':>3} {'left':>16} {'seconds for K':>18} {'with the curve':>18} {'gap (points)':>22} {'proven':>10}"
    )
    for kind in PATIENCE:
        for most in ASKED[kind]:
            rows = [
                results.row(
                    partial(timed, kind, seed, most, scratch), peer="speed", kind=kind, most=most, seed=seed
                )
                for seed in range(seeds)
            ]
            figures = [spread([row[name] for row in rows], form) for name, form in FORMS.items()]
            proven = f"{sum(row['proven'] for row in rows)} of {sum(row['numbers'] for row in rows)}"
            print(
                f"{kind:>10} {most:>3} {figures[0]:>16} {figures[1]:>18} {figures[2]:>18} {figures[3]:>22} {proven:>10}"
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


def timed(kind: str, seed: int, most: int, scratch: Path) -> Row:
    """Seconds for one number, and of all with the curve; the gap; how many numbers of the curve are proven, of how many."""
    top1, latency = made(kind, seed)
    rng = np.random.default_rng(0)
    budgets = [float(np.percentile(row, rng.uniform(10, 80))) for row in latency]
    weights = rng.lognormal(0, 1, len(latency)).round(3)
    began = time.process_time()
    losses = np.where(latency <= np.array(budgets)[:, None], -100 * top1, np.inf)
    losses = losses - losses.min(axis=1, keepdims=True)
    start, _ = fewest(losses, PATIENCE[kind])
    known = [start] if start is not None else []
    alone = choose_few(losses, weights / weights.sum(), most, PATIENCE[kind], known)
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
    found = oncefit.fleet(candidates=path, devices=devices, subnets=most, seconds=PATIENCE[kind], say=quiet)
    curve = [one for one in found.found.portfolio.curve if one is not None]
    return {
        "left": len(undominated(losses)), "seconds": seconds, "whole": time.process_time() - began,
        "gap": found.lost - found.lost_at_least, "proven": sum(one.proven for one in curve), "numbers": len(curve),
    }  # fmt: skip


# -- the published GPUs ------------------------------------------------------------------


class Published:
    """The published latencies: candidates, devices that are fitted to other rows, and what is true of the candidates."""

    def __init__(self, reference: Path, scratch: Path) -> None:
        file, self.predictor = need(reference / CSV), scratch / "w12.safetensors"
        self.supernet = open_supernet("ofa_mbv3_w1.2")
        oncefit.import_predictor(
            "w12", need(reference / "acc_predictor.pth"), self.supernet.name, out=self.predictor
        )
        rows = read_latency_csv(file, self.supernet)
        self.asked = {
            "candidates": str(file),
            "supernet": self.supernet.name,
            "predictor": str(self.predictor),
        }
        self.pool = read_pool(read_portfolio(None, {**self.asked, "subnets": 2}), quiet)
        self.true = self.pool.columns
        known = set(self.pool.archs)
        others = np.flatnonzero([arch not in known for arch in rows.archs])
        chosen = np.random.default_rng(0).permutation(others)[:FITTED_ROWS]
        self.devices = {}
        for name in rows.names:
            self.devices[name] = OUT / "portfolio" / f"{name}-fitted.yaml"
            if not self.devices[name].is_file():
                times = rows.column(name)
                measured = [LatencyMeasurement(times[i], times[i], times[i], 1) for i in chosen]
                model = fit(self.supernet, [rows.archs[i] for i in chosen], measured)
                write_device(Device(name=f"{name}-fitted", latency=model), self.devices[name])

    def budgets(self, percentile: int) -> dict[str, float]:
        return {name: float(np.percentile(times, percentile)) for name, times in self.true.items()}

    def measured(self, percentile: int) -> Portfolio:
        """By the latencies of the file."""
        limits = self.budgets(percentile)
        return self.portfolio({name: {"latency_ms": limit} for name, limit in limits.items()}, SLACK)

    def predicted(self, percentile: int, cost: str, slack: float) -> Portfolio:
        """By models that were fitted to other subnets."""
        limits = self.budgets(percentile)
        return self.portfolio({str(self.devices[name]): {cost: limits[name]} for name in limits}, slack)

    def portfolio(self, devices: Mapping[str, Mapping[str, float]], slack: float) -> Portfolio:
        asked = read_portfolio(None, {**self.asked, "devices": devices, "subnets": 2, "slack": slack})
        return make_portfolio(asked, quiet, self.pool)


def gpus(published: Published) -> None:
    count = len(published.pool.names)
    print(f"\n{len(published.true)} published GPU settings, {count:,} subnets, slack {100 * SLACK:g} %")
    print(f"{'latencies':>28} {'percentile':>11} {'lost at K = 1':>14} {'K = 2':>8} {'K = 3':>8} {'worst at 2':>11} {'chosen above':>13} {'all above':>18}")  # fmt: skip
    for percentile in PERCENTILES:
        for told, made in (
            ("measured", lambda p: published.measured(p)),
            ("predicted", lambda p: published.predicted(p, "latency_ms", SLACK)),
            ("predicted, 95 % bound", lambda p: published.predicted(p, "latency_p95_ms", 0.0)),
        ):
            try:
                found = made(percentile)
            except InputError as error:
                print(f"{told:>28} {percentile:>11} {str(error).partition('; ')[0]}")
                continue
            losses = losses_at(found)
            chosen, inside, above = violations(published, found, percentile)
            print(
                f"{told:>28} {percentile:>11} {losses[0]:>14.3f} {losses[1]:>8.3f} {losses[2]:>8.3f} {found.lost.max():>11.3f} "
                f"{f'{len(chosen)} of {len(published.true)}':>13} {f'{above:,} of {inside:,}':>18}"
            )
            for line in chosen:
                print(f"{'':>28} {line}")


def losses_at(found: Portfolio) -> list[float]:
    """Weighted losses with at most 1, 2 and 3 subnets; NaN where so few cannot serve all."""
    return [one.loss if one is not None else float("nan") for one in found.curve[:3]]


def violations(published: Published, found: Portfolio, percentile: int) -> tuple[list[str], int, int]:
    """Chosen subnets that are truly above a budget; of all that are taken to be within one, how many are truly above it."""
    limits, chosen, inside, above = published.budgets(percentile), list[str](), 0, 0
    for one, subnet in zip(found.served, found.kept.of_device, strict=True):
        name = one.name.removesuffix("-fitted")
        true, kept = published.true[name], one.within(found.asked.slack)
        inside, above = inside + int(kept.sum()), above + int((true[kept] > limits[name]).sum())
        over = float(true[subnet] / limits[name] - 1)
        if over > 0:
            chosen.append(
                f"{name}: {found.pool.names[subnet]} took {100 * over:.1f} % more than the budget when it was measured"
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
        found = make_portfolio(read_portfolio(fleet.folder, {"subnets": 2}), quiet)
        took = time.process_time() - began
        losses = losses_at(found)
        print(
            f"{percentile:>11} {seconds:>18.0f} {len(found.pool.names):>11,} {took:>13.1f} {losses[0]:>14.3f} "
            f"{losses[1]:>8.3f} {losses[2]:>8.3f} {found.lost.max():>11.3f}"
        )


# -- one proxy ------------------------------------------------------------------------------

BINS = (-1.0, 0.5, 0.8, 0.9, 0.95, 0.99, 1.0)


def proxies(published: Published, seeds: int) -> None:
    print("\nfronts of one device, the proxy, for another: what is lost, by rank correlation of latencies")
    print(
        f"{'correlation':>16} {'GPU settings: pairs':>20} {'lost (points)':>24} {'made-up: pairs':>16} {'lost (points)':>24}"
    )
    found = published.measured(50)
    made_up = [pairs_of(*made("related", seed)) for seed in range(seeds)]
    pools = [pairs_of(found.pool.top1, np.array([one.costs["latency_ms"] for one in found.served])), np.concatenate(made_up)]  # fmt: skip
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
    print(f"\nthe GPU settings at the median, slack {100 * SLACK:g} %: one proxy for all")
    told = proxies_of(found)
    assert told is not None
    for one in sorted(told.every, key=lambda one: -one.mean):
        print(
            f"{one.name:>14}: mean correlation {one.mean:.3f}, least {one.least:.3f}; {len(one.front)} subnets; "
            f"lost {one.loss:.3f} points, {one.worst:.3f} on {one.worst_device}"
        )


def pairs_of(top1: Floats, latency: Floats) -> Floats:
    """(correlation, lost points) of every ordered pair of devices, whose budgets are their medians; infinite for none."""
    from search.fleets.one_proxy import proxy_front

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
