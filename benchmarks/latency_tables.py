"""Archs a second of a published latency table: ours in batches and one at a time, ofa's estimator beside them.

python benchmarks/latency_tables.py DIR [--json]

DIR holds the published tables of the Note10 (160_lookup_table.yaml and so on). ofa's estimator
gets the same archs in its own format and the same files through a safe loader; making the
formats is not timed. The three take turns; figures are medians of the rounds. Last, what a
search pays once: seconds to import the tables, to read the device's file, and to make the cost.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cost_models.device_files import write_device
from cost_models.devices import import_device, open_device
from cost_models.latency import latency_ms
from cost_models.latency_tables import pieces_by_choice
from cost_models.protocol import Target
from cost_models.tables import layers_by_choice
from supernet import documents
from supernet.archs.arch import Arch
from supernet.archs.space import SearchSpace
from supernet.families.catalog import open_supernet

BATCH, SINGLE, ROUNDS, SEED = 100_000, 2_000, 9, 0


def main() -> None:
    given = [argument for argument in sys.argv[1:] if argument != "--json"]
    if len(given) != 1:
        raise SystemExit(__doc__)
    seconds: dict[str, float] = {}
    supernet = open_supernet("ofa_mbv3_w1.2")
    device = timed(seconds, "import", lambda: import_device("note10", Path(given[0]), supernet, "note10"))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "note10.yaml"
        timed(seconds, "write", lambda: write_device(device, file))
        device = timed(seconds, "read", lambda: open_device(str(file), supernet, print))
    net = supernet.restricted({"resolution": device.table.resolutions})
    layers_by_choice.cache_clear()  # which the import has filled
    pieces_by_choice.cache_clear()
    latency = timed(seconds, "make", lambda: latency_ms(Target(net, device)))

    codes = net.space.sample(BATCH, np.random.default_rng(SEED))
    archs = net.space.decode(codes[:SINGLE])
    specs = [spec(net.space, arch) for arch in archs]
    estimators = {r: estimator(Path(given[0]) / t.file) for r, t in device.table.tables.items()}
    ways: dict[str, tuple[int, Callable[[], Any]]] = {
        "batch": (BATCH, lambda: latency.batch(codes)),
        "one at a time": (SINGLE, lambda: [latency(arch) for arch in archs]),
        "ofa": (
            SINGLE,
            lambda: [estimators[s["r"][0]].predict_network_latency_given_spec(s) for s in specs],
        ),
    }
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, (count, predict) in ways.items():
            began = time.perf_counter()
            predict()
            speeds[name].append(count / (time.perf_counter() - began))
    medians = {name: statistics.median(found) for name, found in speeds.items()}
    difference = float(np.abs(latency.batch(codes[:SINGLE]) - ways["ofa"][1]()).max())
    if "--json" in sys.argv:
        print(json.dumps({"archs_per_second": medians, "difference_ms": difference, "seconds": seconds}))
        return
    print(f"archs a second, medians of {ROUNDS} interleaved rounds")
    for name, found in medians.items():
        low, high = min(speeds[name]), max(speeds[name])
        ratio = found / medians["ofa"]
        print(f"{name:14} {found:12,.0f}  [{low:,.0f} .. {high:,.0f}]   {ratio:7.1f} x ofa")
    print(f"largest difference from ofa on {SINGLE:,} archs: {difference:.1e} ms")
    print("seconds, once: " + ", ".join(f"{name} {found:.3f}" for name, found in seconds.items()))


def timed(seconds: dict[str, float], name: str, work: Callable[[], Any]) -> Any:
    """What ``work`` returns; its seconds are noted."""
    began = time.perf_counter()
    made = work()
    seconds[name] = time.perf_counter() - began
    return made


def estimator(file: Path) -> Any:
    """ofa's own, without the download and the unsafe loader of its ``__init__``."""
    from ofa.tutorial.latency_table import LatencyEstimator  # brings torch, which a search need not have

    made = LatencyEstimator.__new__(LatencyEstimator)
    made.lut = documents.load(file)
    return made


def spec(space: SearchSpace, arch: Arch) -> dict[str, Any]:
    """An arch as ofa's estimator takes it; what skipped blocks have does not matter."""
    values = {d.name: arch.values.get(d.name, d.choices[-1]) for d in space.dimensions}

    def all_of(kind: str) -> list[Any]:
        return [values[d.name] for d in space.dimensions if d.kind == kind]

    return {"d": all_of("depth"), "e": all_of("expand"), "ks": all_of("kernel"), "r": [arch.resolution]}


if __name__ == "__main__":
    main()
