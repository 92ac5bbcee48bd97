"""This machine as several devices: how well unseen subnets are predicted, and whether runtimes prefer other subnets.

python benchmarks/host_profile.py [--supernets ...] [--devices ...] [--samples N] [--unseen N] [--rounds N] [--json]

Each device is profiled afresh; its unseen subnets are random ones that it was not fitted to, measured in a run of
their own. "Level" is how much slower the reference net was in that run than in the profile: a machine that is shared, or
whose clock moves, is another one by so much. The error is told as it is and with the level divided out. The embedded
supernet in ONNX Runtime has a layer table (``oncefit profile --layers``) beside the fitted model, and both predict the
same unseen subnets. Then the best subnet by the predictor of ofa_mbv3_w1.0 is sought under each device's predicted latency, at
the same share of its reach, and each winner's latency is predicted on the others. Let nothing else run.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from oracles import open_oracle

from cost_models.device import Device
from cost_models.drift import kept_rounds, quiet_latencies
from cost_models.host_facts import cpu_name
from cost_models.latency import latency_ms
from cost_models.measurements import Measurements, Setup, archs_of
from cost_models.measuring import measure, said
from cost_models.profile_here import profile_here
from cost_models.protocol import Target
from cost_models.registry import build
from search.proposing.predictor_search import search_directly
from supernet.archs.arch import Choice
from supernet.families.catalog import Supernet, open_supernet

DEVICES = {
    "host-ort-1t": Setup(),
    "host-ort-2t": Setup(threads=2),
    "host-ov-1t": Setup(runtime="openvino"),
}
SUPERNETS = ("fmnist_mbv3", "ofa_mbv3_w1.0")
TABLES = {("fmnist_mbv3", "host-ort-1t")}
"""Of which supernets and devices a layer table is measured too."""
SEARCHED, ORACLE = "ofa_mbv3_w1.0", "w1.0-macs"
WITHIN, TARGET_SHARE, TARGET_SECONDS = 10.0, 90.0, 300.0
UNSEEN_SEED = 1
SHARES = (0.2, 0.35, 0.5)
"""Budgets: so far from a device's least latency to its greatest."""


@dataclass(frozen=True)
class Row:
    supernet: str
    device: str
    latency: str
    profile_seconds: float
    within_10_percent: float
    median_error_percent: float
    level: float
    within_10_percent_at_level: float
    cross_validated_percent: float
    spread_percent: float


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--supernets", nargs="+", default=list(SUPERNETS))
    parser.add_argument("--devices", nargs="+", default=list(DEVICES), choices=list(DEVICES))
    parser.add_argument("--samples", type=int, default=30)
    parser.add_argument("--unseen", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    given = parser.parse_args()
    rows: list[Row] = []
    made: dict[str, Device] = {}
    for name in given.supernets:
        net = open_supernet(name)
        for called in given.devices:
            found, device = profiled(called, net, given.samples, given.unseen, given.rounds)
            rows += found
            made |= {called: device} if name == SEARCHED else {}
    winners = preferences(made) if len(made) > 1 else []
    if given.json:
        print(json.dumps({"cpu": cpu_name(), "rows": [asdict(r) for r in rows], "winners": winners}))
        return
    print(f"{cpu_name()}\n\n{error_table(rows, given.unseen)}")
    if winners:
        print(f"\n{winner_table(winners, list(made))}")


def profiled(called: str, net: Supernet, samples: int, unseen: int, rounds: int) -> tuple[list[Row], Device]:
    """One device's profile, perhaps its layer table, and their errors on subnets that are measured afterwards."""
    bar = said(lambda line: print(f"{called}, {net.name}: {line}", file=sys.stderr))
    ways = {"fitted model": False} | ({"layer table": True} if (net.name, called) in TABLES else {})
    made: dict[str, tuple[Device, float]] = {}
    for way, layers in ways.items():
        began = time.perf_counter()
        device = profile_here(called, net, DEVICES[called], samples, 0, bar, even_busy=True, layers=layers)
        made[way] = device, time.perf_counter() - began
    seen = {subnet.arch.key for device, _ in made.values() for subnet in measurements_of(device).subnets}
    part = net.restricted({"resolution": common_resolutions(net, [device for device, _ in made.values()])})
    drawn = dict.fromkeys(
        part.space.decode(part.space.sample(2 * unseen, np.random.default_rng(UNSEEN_SEED)))
    )
    archs = [a for a in drawn if (a.space, *sorted(a.values.items())) not in seen][:unseen]
    measured = measure(part, archs, DEVICES[called], bar, rounds)
    rows = [row(way, called, part, device, seconds, measured) for way, (device, seconds) in made.items()]
    return rows, made["fitted model"][0]


def measurements_of(device: Device) -> Measurements:
    assert device.measurements is not None
    return device.measurements


def common_resolutions(net: Supernet, devices: Sequence[Device]) -> tuple[Choice, ...]:
    """Those that all of the devices predict: a table has some of the supernet's."""
    tables = [device.table.resolutions for device in devices if device.table is not None]
    return tables[0] if tables else net.space.by_name["resolution"].choices


def row(way: str, called: str, net: Supernet, device: Device, seconds: float, measured: Measurements) -> Row:
    """How far a device's predictions are from measured subnets."""
    assert device.fit is not None
    archs, found = archs_of(measured, net), quiet_latencies(measured)
    level = quiet_ms(measured) / quiet_ms(measurements_of(device))
    predict = latency_ms(Target(net, device))
    predicted, true = np.array([predict(a) for a in archs]), np.array([m.median_ms for m in found])
    errors, at_level = 100 * abs(predicted / true - 1), 100 * abs(predicted * level / true - 1)
    spread = 100 * float(np.median([m.spread for m in found]))
    return Row(
        net.name, called, way, seconds, 100 * float((errors <= WITHIN).mean()), float(np.median(errors)),
        level, 100 * float((at_level <= WITHIN).mean()), device.fit.error_percent, spread,
    )  # fmt: skip


def quiet_ms(measured: Measurements) -> float:
    """The reference net's latency in ms over the rounds that were quiet."""
    kept = kept_rounds(measured.reference.rounds_ms)
    return float(np.median([ms for i in kept for ms in measured.reference.rounds_ms[i]]))


def preferences(devices: dict[str, Device]) -> list[dict[str, Any]]:
    """The winner of each device at each share of its reach, with its predicted latencies as shares of all reaches."""
    oracle = open_oracle(ORACLE)
    costs = {n: build("latency_ms", Target(oracle.supernet, device)) for n, device in devices.items()}
    reach = {name: cost.reach() for name, cost in costs.items()}
    found = []
    for share in SHARES:
        for name, cost in costs.items():
            budget = reach[name].minimum + share * (reach[name].maximum - reach[name].minimum)
            problem = replace(oracle, cost=cost).within(budget)
            codes = search_directly(problem, oracle.predict, 1, 0, slope=oracle.slope).codes[:1]
            arch, top1 = oracle.space.decode(codes)[0], float(oracle.predict(codes)[0])
            used = {
                other: (of(arch) - reach[other].minimum) / (reach[other].maximum - reach[other].minimum)
                for other, of in costs.items()
            }
            found.append({"share": share, "device": name, "arch": arch.id, "top1": top1, "used": used})
    return found


def error_table(rows: list[Row], unseen: int) -> str:
    """Markdown; a target that is missed is bold."""
    lines = [
        f"| supernet | device | latency | within 10 % of {unseen} unseen (%) | median error (%) "
        "| level | within 10 % at that level (%) | profile (s) | spread (%) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        share = marked(f"{r.within_10_percent:.1f}", r.within_10_percent >= TARGET_SHARE)
        seconds = marked(f"{r.profile_seconds:.0f}", r.profile_seconds <= TARGET_SECONDS)
        at_level = marked(f"{r.within_10_percent_at_level:.1f}", r.within_10_percent_at_level >= TARGET_SHARE)
        lines.append(
            f"| {r.supernet} | {r.device} | {r.latency} | {share} | {r.median_error_percent:.1f} | {r.level:.2f} | {at_level} "
            f"| {seconds} | {r.spread_percent:.1f} |"
        )
    return "\n".join(lines)


def winner_table(found: list[dict[str, Any]], devices: list[str]) -> str:
    """What each winner needs on each device, as a share of its reach; beyond the budget is bold."""
    lines = [
        "| budget, share of reach | sought on | subnet | top-1, predicted (%) | "
        + " | ".join(f"needs on {d}" for d in devices) + " |",
        "|" + "---|" * (4 + len(devices)),
    ]  # fmt: skip
    for w in found:
        needs = " | ".join(marked(f"{w['used'][d]:.3f}", w["used"][d] <= w["share"] + 1e-9) for d in devices)
        lines.append(f"| {w['share']:g} | {w['device']} | {w['arch']} | {100 * w['top1']:.2f} | {needs} |")
    return "\n".join(lines)


def marked(figure: str, good: bool) -> str:
    return figure if good else f"**{figure}**"


if __name__ == "__main__":
    main()
