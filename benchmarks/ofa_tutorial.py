"""OFA's tutorial search beside ours: the same predictor, the same costs, the same budgets, in one run.

    python benchmarks/ofa_tutorial.py PREDICTOR NOTE10 [--seeds N] [--json]

PREDICTOR is OFA's accuracy predictor for w1.2 (acc_predictor.pth), NOTE10 the folder of its
latency tables. ``ofa``'s ``EvolutionFinder`` runs with its defaults (100 archs, 500
generations) on its own classes, and is timed alone, as is our search; ours is timed as a whole
process too, from the start of Python to the files it writes. Both predict with the same numbers,
and what each found is judged once more by the same models. Several seeds give medians.
On a busy machine ofa's small batches, on all threads, take up to ten times as long.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ofa_finders import Latency, seed_all, tutorial_predictor

from cost_models.devices import open_device
from cost_models.protocol import Target
from cost_models.registry import build
from search.predictors import files
from search.problem.objectives import parse_objectives
from search.problem.problem import Problem
from search.proposing.predictor_search import search_directly
from search.reports.units import amount
from supernet.families.catalog import open_supernet
from supernet.ofa_format.settings import from_settings

BUDGETS = (
    *(("latency_ms", ms) for ms in (20.0, 25.0, 30.0)),
    *(("macs", million * 1e6) for million in (600.0, 400.0, 350.0)),
)
RESOLUTIONS = (160, 176, 192, 208, 224)
CONFIGS = {"latency_ms": "configs/searches/note10-25ms.yaml", "macs": "configs/searches/ofa-macs.yaml"}
SUPERNET, PREDICTOR, DEVICE = "ofa_mbv3_w1.2", "ofa_mbv3_w1.2", "note10"


def oncefit(*arguments: object, cache: Path) -> tuple[str, float]:
    """What a command prints, and the seconds its whole process took."""
    command = [sys.executable, "-m", "search", *map(str, arguments)]
    began = time.perf_counter()
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "ONCEFIT_CACHE": str(cache)}
    )
    return done.stdout, time.perf_counter() - began


def evolution_finder(
    name: str, limit: float, seed: int, efficiency: object, accuracy: object
) -> dict[str, Any]:
    """What ``ofa``'s search finds: its settings and its seconds."""
    from ofa.tutorial.evolution_finder import EvolutionFinder

    seed_all(seed)
    kind, given = ("note10", limit) if name == "latency_ms" else ("flops", limit / 1e6)
    finder = EvolutionFinder(kind, given, efficiency, accuracy)
    began = time.perf_counter()
    with contextlib.redirect_stderr(io.StringIO()):
        _, (_, spec, _) = finder.run_evolution_search()
    return {"spec": spec, "seconds": time.perf_counter() - began}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("predictor", type=Path)
    parser.add_argument("note10", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = compare(given.predictor, given.note10, given.seeds, Path(folder))
    if given.json:
        print(json.dumps(rows, indent=2))
        return
    print("predicted top-1 (%) and seconds of the search alone, medians; last, those of our whole process")
    print("cost: of what ofa found, by the layers of the network; its own table of multiply-adds is another")
    heads = ("budget", "ofa", "cost", "ours", "ofa (s)", "ours (s)", "ratio", "process (s)")
    print("{:>12} {:>8} {:>12} {:>8} {:>8} {:>9} {:>6} {:>12}".format(*heads))
    for row in rows:
        print(
            f"{amount(row['cost'], row['limit']):>12} {100 * row['ofa_top1']:8.2f} "
            f"{amount(row['cost'], row['ofa_cost']):>12} {100 * row['our_top1']:8.2f} {row['ofa_seconds']:8.1f} "
            f"{row['our_seconds']:9.1f} {row['ofa_seconds'] / row['our_seconds']:6.1f} "
            f"{row['process_seconds']:12.1f}"
        )


def compare(predictor: Path, note10: Path, seeds: int, folder: Path) -> list[dict[str, Any]]:
    """One row a budget."""
    oncefit("predictor", "import", PREDICTOR, predictor, "--supernet", SUPERNET, cache=folder)
    oncefit("devices", "import", DEVICE, note10, cache=folder)
    accuracy = tutorial_predictor(predictor)
    efficiency = {"latency_ms": Latency(note10, list(RESOLUTIONS)), "macs": flops_table(folder)}
    supernet = open_supernet(SUPERNET)
    judge = files.read_predictor(folder / "predictors" / f"{PREDICTOR}.safetensors")
    device = open_device(str(folder / "devices" / f"{DEVICE}.yaml"), supernet, lambda _: None)
    part = supernet.restricted({"resolution": RESOLUTIONS})
    costs = {name: build(name, Target(part, device)) for name, _ in BUDGETS}
    rows = []
    for name, limit in BUDGETS:
        theirs, ours, processes = [], [], []
        for seed in range(seeds):
            found = evolution_finder(name, limit, seed, efficiency[name], accuracy)
            arch = from_settings(found["spec"], supernet.space)
            [said] = judge.predict(part.space, part.space.encode([arch]))
            theirs.append((said.top1, found["seconds"], costs[name](arch)))
            out = folder / f"{name}-{limit:g}-{seed}"
            options = ("--budget", f"{name}={limit}", "--seed", seed, "--out", out, "--json")
            printed, seconds = oncefit("search", CONFIGS[name], *options, cache=folder)
            chosen = json.loads(printed)["chosen"]["predicted"]
            problem = Problem(part.space, parse_objectives(("top1",)), {name: costs[name]}, {name: limit})
            began = time.perf_counter()
            search_directly(problem, lambda codes: judge.predict(part.space, codes).top1, 10, seed)
            ours.append((chosen["top1"], time.perf_counter() - began, chosen[name]))
            processes.append(seconds)
        rows.append({
            "cost": name, "limit": limit, "process_seconds": statistics.median(processes),
            **{f"ofa_{key}": statistics.median(v) for key, v in zip(KEYS, zip(*theirs, strict=True), strict=True)},
            **{f"our_{key}": statistics.median(v) for key, v in zip(KEYS, zip(*ours, strict=True), strict=True)},
        })  # fmt: skip
    return rows


KEYS = ("top1", "seconds", "cost")


def flops_table(folder: Path) -> object:
    """``ofa``'s table of multiply-adds, which it writes into the working directory."""
    from ofa.tutorial.flops_table import FLOPsTable

    before = Path.cwd()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return FLOPsTable(pred_type="flops", device="cpu", multiplier=1.2, batch_size=1)
    finally:
        os.chdir(before)


if __name__ == "__main__":
    main()
