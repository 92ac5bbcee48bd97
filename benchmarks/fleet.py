"""One search for several devices: how many evaluations and seconds it takes beside a search for one.

    python benchmarks/fleet.py [--seeds N] [--devices N...] [--reference FOLDER] [--part evaluations|seconds|both]

Evaluations: the w1.2 supernet with OFA's predictor in place of a measurement, of which each is counted. Twelve
devices: the nine columns of the published whole-network latencies, each fitted to 1,000 of its rows; the Samsung
Note10's tables; this machine; and one whose latency is its multiply-adds. Each device's budget is the median latency of
random subnets. Its yardstick is a search for it alone with 60 evaluations. A fleet goes on to 180, and what is told is
after how many of them the mean over its devices is within 0.05 points of the mean of the yardsticks.

Seconds: the embedded supernet, subnets measured on the validation split, and twelve made-up devices whose prices are
the host's, each with some kinds of layer dearer: a fleet of 90 evaluations beside a search for one device with 60, the
winners' report accuracies included.

Rows are kept in runs/benchmarks/fleet.json, and this machine as a device, measured once, in fleet-host.yaml beside it: a
benchmark that was stopped goes on.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from oracles import REFERENCE, note10
from results import OUT, Results, Row, spread

import oncefit
from cost_models.device import Device, LatencyModel
from cost_models.device_files import write_device
from cost_models.devices import import_device, open_device
from cost_models.latency import latency_ms
from cost_models.latency_csv import read_latency_csv
from cost_models.latency_fit import fit
from cost_models.profiling import LatencyMeasurement
from cost_models.protocol import Target
from cost_models.registry import build
from search.runs import study as studies
from supernet.families.catalog import Supernet, open_supernet

ALONE, TOGETHER, MOST = 60, 90, 180
"""Evaluations of a search for one device, of the fleet whose seconds are told, and of those whose curve is."""
NEAR_POINTS = 0.05
FITTED_ROWS = 1_000
SIZES = (1, 2, 4, 8, 12)
SAMPLE = 2_000
"""Random subnets, whose median latency is a device's budget."""
CSV = "measured/latency/latency_ms_gpu.csv"


def quiet(_: str) -> None:
    """Nobody reads it."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--devices", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--reference", type=Path, default=REFERENCE)
    parser.add_argument("--part", choices=("evaluations", "seconds", "both"), default="both")
    given = parser.parse_args()
    results = Results("fleet")
    with tempfile.TemporaryDirectory(prefix="oncefit-") as scratch:
        if given.part != "seconds":
            evaluations(results, given.seeds, given.devices, given.reference, Path(scratch))
        if given.part != "evaluations":
            seconds(results, given.seeds, Path(scratch))


# -- evaluations ---------------------------------------------------------------------


def evaluations(results: Results, seeds: int, sizes: Sequence[int], reference: Path, scratch: Path) -> None:
    oracle = note10(reference)
    devices = twelve(oracle.supernet, reference, scratch)
    budgets = {name: median_latency(oracle.supernet, path) for name, path in devices.items()}

    def accuracy(arch: oncefit.Arch) -> float:
        return float(oracle.predict(oracle.space.encode([arch]))[0])

    def reached(names: Sequence[str], seed: int, trials: int) -> dict[str, list[float]]:
        """The best top-1 so far of each device, by evaluation."""
        with tempfile.TemporaryDirectory(dir=scratch) as out:
            common: dict[str, Any] = {
                "accuracy": accuracy, "trials": trials, "seed": seed, "out": Path(out) / "run", "say": quiet,
                "space": dict(oracle.supernet.only),
            }  # fmt: skip
            if len(names) == 1:
                [name] = names
                run = oncefit.search(
                    oracle.supernet.name,
                    device=str(devices[name]),
                    budgets={"latency_ms": budgets[name]},
                    **common,
                )
                return {name: curve(run)}
            chosen = {str(devices[name]): {"latency_ms": budgets[name]} for name in names}
            fleet = oncefit.search_fleet(oracle.supernet.name, devices=chosen, **common)
            return {name: curve(run) for name, run in fleet.runs.items()}

    alone = {
        (name, seed): results.row(
            lambda name=name, seed=seed: {"top1": reached([name], seed, ALONE)[name][-1]},  # type: ignore[misc]
            peer="alone", device=name, seed=seed,
        )["top1"]
        for name in devices
        for seed in range(seeds)
    }  # fmt: skip
    print(
        f"{'devices':>8} {'evaluations needed':>22} {'ratio to 60':>12} {'short of alone at 90 (points)':>32}"
    )
    for size in sizes:
        rows = []
        for seed in range(seeds):
            names = sorted(np.random.default_rng(seed).permutation(sorted(devices))[:size].tolist())
            target = statistics.mean(alone[name, seed] for name in names)

            def together(names: list[str] = names, seed: int = seed, target: float = target) -> Row:
                curves = np.array(list(reached(names, seed, MOST).values()))
                short = 100 * (target - curves.mean(axis=0))
                near = np.flatnonzero(short <= NEAR_POINTS)
                return {"needed": int(near[0]) + 1 if len(near) else None, "short": short.round(4).tolist()}

            rows.append(results.row(together, peer="fleet", size=size, seed=seed, names=names))
        needed = [row["needed"] or MOST for row in rows]
        short = [row["short"][TOGETHER - 1] for row in rows]
        print(
            f"{size:>8} {spread(needed, '.0f'):>22} {statistics.median(needed) / ALONE:>12.2f} {spread(short, '+.3f'):>32}"
        )


def curve(run: oncefit.Run) -> list[float]:
    """The best top-1 within the budgets after each evaluation, those of other devices included; 0 before the first."""
    recorded = run.result.run
    within = {c.number: c.value("top1") for c in studies.candidates(run.study, recorded.problem)}
    best, found, seen = 0.0, [], set[str]()
    for trial in run.study.get_trials(deepcopy=False):
        arch = trial.user_attrs.get("arch_id")
        if trial.state.name != "COMPLETE" or arch in seen:
            continue
        seen.add(arch)
        best = max(best, within.get(trial.number, 0.0))
        found.append(best)
    return found


def twelve(supernet: Supernet, reference: Path, scratch: Path) -> dict[str, Path]:
    """Device files by name."""
    whole = open_supernet(supernet.name)
    rows = read_latency_csv(reference / CSV, whole)
    found: list[Device] = []
    chosen = np.random.default_rng(0).permutation(len(rows.archs))[:FITTED_ROWS]
    for name in rows.names:
        times = rows.column(name)
        measured = [LatencyMeasurement(times[i], times[i], times[i], 1) for i in chosen]
        found.append(Device(name=name, latency=fit(whole, [rows.archs[i] for i in chosen], measured)))
    found.append(import_device("note10", reference / "note10", whole, "samsung-note10"))
    found.append(this_machine(whole))
    found.append(Device(name="multiply-adds", latency=as_macs(whole)))
    paths = {}
    for device in found:
        paths[device.name] = scratch / f"{device.name}.yaml"
        write_device(device, paths[device.name])
    return paths


def this_machine(supernet: Supernet) -> Device:
    """As it was measured when the benchmark began: another fit would be another device, with another yardstick."""
    file = OUT / "fleet-host.yaml"
    if not file.is_file():
        measured = open_device("host", supernet, print)
        write_device(measured.model_copy(update={"name": "this-machine"}), file)
    return open_device(str(file), supernet, quiet)


def as_macs(supernet: Supernet) -> LatencyModel:
    """A device that takes a nanosecond for 1,000 multiply-adds, as near as prices of padded work come."""
    archs = supernet.space.decode(supernet.space.sample(300, np.random.default_rng(0)))
    macs = build("macs", Target(supernet))
    times = [macs(arch) / 1e6 for arch in archs]
    return fit(supernet, archs, [LatencyMeasurement(t, t, t, 1) for t in times])


def median_latency(supernet: Supernet, path: Path) -> float:
    cost = latency_ms(Target(supernet, open_device(str(path), supernet, quiet)))
    return float(np.median(cost.batch(supernet.space.sample(SAMPLE, np.random.default_rng(0)))))


# -- seconds -------------------------------------------------------------------------


def seconds(results: Results, seeds: int, scratch: Path) -> None:
    supernet = open_supernet("fmnist_mbv3")
    devices = made(supernet, scratch)
    limits = {str(path): {"latency_ms": median_latency(supernet, path)} for path in devices.values()}
    ratios = []
    for seed in range(seeds):
        first = dict([next(iter(limits.items()))])
        one, every = (
            results.row(partial(timed, which, trials, seed, scratch), peer="measured", devices=len(which), trials=trials, seed=seed)
            for which, trials in ((first, ALONE), (limits, TOGETHER))
        )  # fmt: skip
        ratios.append(every["seconds"] / one["seconds"])
        print(
            f"seed {seed}: one device {one['seconds']:.0f} s, twelve devices {every['seconds']:.0f} s, "
            f"ratio {ratios[-1]:.2f}"
        )
    print(f"ratio of seconds, twelve devices to one: {spread(ratios, '.2f')}")


def timed(devices: Mapping[str, Mapping[str, float]], trials: int, seed: int, scratch: Path) -> Row:
    """Seconds of a search for one device, or for several at once."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        out, began = Path(folder) / "run", time.perf_counter()
        if len(devices) > 1:
            oncefit.search_fleet("fmnist_mbv3", devices=devices, trials=trials, seed=seed, out=out, say=quiet)
        else:
            [(device, budgets)] = devices.items()
            oncefit.search(
                "fmnist_mbv3", device=device, budgets=budgets, trials=trials, seed=seed, out=out, say=quiet
            )
        return {"seconds": time.perf_counter() - began}


def made(supernet: Supernet, scratch: Path) -> dict[str, Path]:
    """Twelve devices that order subnets differently: the host's prices, a third of them drawn anew for each."""
    host = open_device("host", supernet, print)
    model = host.fitted
    assert model is not None
    paths = {}
    for number in range(12):
        rng = np.random.default_rng(number)
        prices = {
            n: p * float(np.exp(rng.normal() * (rng.random() < 1 / 3))) for n, p in model.coefficients.items()
        }
        device = Device(name=f"device-{number}", latency=model.model_copy(update={"coefficients": prices}))
        paths[device.name] = scratch / f"{device.name}.yaml"
        write_device(device, paths[device.name])
    return paths


if __name__ == "__main__":
    main()
