"""Searches on measured accuracy: what guided finds with 60 measurements beside others with 300.

    python benchmarks/measured_search.py [--samplers NAME...] [--seeds N] [--workers N] [--out FOLDER]

The embedded supernet, its validation split, five budgets of multiply-adds. Every subnet is
extracted, recalibrated and evaluated as a search does it; which images it got right is kept in
FOLDER/measured.jsonl, so that an arch is measured once and a stopped benchmark goes on.
"""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna

from cost_models.protocol import Target
from cost_models.registry import build
from search.accuracy import MeasuredAccuracy
from search.objectives import parse_objectives
from search.problem import Problem
from search.samplers import build_sampler, distributions
from supernet.arch import Arch
from supernet.catalog import open_supernet

SUPERNET = "fmnist_mbv3"
BUDGETS = (1.0e6, 1.25e6, 1.5e6, 1.8e6, 2.2e6)
"""Multiply-adds; a uniform choice keeps them with a chance of 2 % to 43 %."""
TRIALS = {"guided": 60, "nsga2": 300, "random": 300}
OUT = Path("runs/benchmarks/measured")

Hits = npt.NDArray[np.bool_]
"""Which validation images a subnet classifies rightly, shape (images,)."""


class Oracle:
    """Arch -> hits on the validation split; measured once, kept in a file that several processes append to."""

    def __init__(self, file: Path) -> None:
        supernet = open_supernet(SUPERNET)
        self.file, self.known, self.read = file, dict[str, Hits](), 0
        self.measure = MeasuredAccuracy(supernet, supernet.data)

    def __call__(self, arch: Arch) -> Hits:
        if arch.id not in self.known:
            self.refresh()
        if arch.id not in self.known:
            hits = self.measured(arch)
            text = base64.b64encode(np.packbits(hits).tobytes()).decode()
            with self.file.open("a") as file:
                file.write(json.dumps({"arch": arch.id, "images": len(hits), "hits": text}) + "\n")
            self.known[arch.id] = hits
        return self.known[arch.id]

    def refresh(self) -> None:
        """Read what was appended since the last time; a line that is still being written waits."""
        if not self.file.exists():
            return
        with self.file.open() as file:
            file.seek(self.read)
            while (line := file.readline()).endswith("\n"):
                row = json.loads(line)
                bits = np.frombuffer(base64.b64decode(row["hits"]), dtype=np.uint8)
                self.known[row["arch"]] = np.unpackbits(bits)[: row["images"]].astype(np.bool_)
                self.read = file.tell()

    def measured(self, arch: Arch) -> Hits:
        from supernet.evaluation import hits_of

        hits = hits_of(self.measure.subnet(arch), arch, self.measure.data, "validation")
        return np.asarray(hits[:, 0].numpy(), dtype=np.bool_)


def problem_within(budget: float) -> Problem:
    supernet = open_supernet(SUPERNET)
    costs = {"macs": build("macs", Target(supernet))}
    return Problem(supernet.space, parse_objectives(("top1",)), costs, {"macs": budget})


def search(name: str, budget: float, seed: int, measure: Callable[[Arch], Hits]) -> list[tuple[str, float]]:
    """Id and top-1 of every arch within the budget that a sampler had measured, in order."""
    problem, trials = problem_within(budget), TRIALS[name]
    study = optuna.create_study(direction="maximize", sampler=build_sampler(name, problem, seed, trials))
    found: dict[str, float] = {}
    while len(found) < trials:
        trial = study.ask(distributions(problem.space))
        arch = problem.space.arch(trial.params)
        if not problem.within(problem.space.encode([arch]))[0]:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            continue
        found[arch.id] = float(measure(arch).mean())
        study.tell(trial, found[arch.id])
    return list(found.items())


def work(task: tuple[str, float, int, Path]) -> tuple[str, float, int, list[tuple[str, float]]]:
    import torch

    name, budget, seed, out = task
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return name, budget, seed, search(name, budget, seed, Oracle(out / "measured.jsonl"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samplers", nargs="+", default=list(TRIALS), choices=list(TRIALS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    tasks = [
        (name, budget, seed, given.out)
        for seed, budget, name in itertools.product(range(given.seeds), BUDGETS, given.samplers)
    ]
    done: dict[tuple[str, float], list[tuple[str, float]]] = {}
    with ProcessPoolExecutor(given.workers) as pool:
        for name, budget, seed, found in pool.map(work, tasks):
            best = max(found, key=lambda pair: pair[1])
            done.setdefault((name, budget), []).append(best)
            print(f"{name:8} {budget / 1e6:4.2f} M, seed {seed}: {100 * best[1]:.2f}", flush=True)
    result = summary(done, Oracle(given.out / "measured.jsonl"))
    (given.out / "result.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def summary(done: dict[tuple[str, float], list[tuple[str, float]]], oracle: Oracle) -> dict[str, Any]:
    """Best top-1 by sampler and budget, seed by seed, with medians; and the noise of a difference."""
    oracle.refresh()
    rows = [
        {
            "sampler": name, "budget": budget, "trials": TRIALS[name],
            "top1": [top1 for _, top1 in found], "median": statistics.median(top1 for _, top1 in found),
        }
        for (name, budget), found in done.items()
    ]  # fmt: skip
    deviations = [
        paired_deviation(oracle.known[a], oracle.known[b])
        for _, of in itertools.groupby(sorted(done.items(), key=lambda item: item[0][1]), lambda item: item[0][1])
        for (a, _), (b, _) in itertools.combinations([best for _, found in of for best in found], 2)
        if a != b
    ]  # fmt: skip
    return {"rows": rows, "noise": statistics.median(deviations) if deviations else None}


def paired_deviation(one: Hits, other: Hits) -> float:
    """Standard deviation of the difference of two accuracies on the same images (McNemar, 1947)."""
    differences = one.astype(np.float64) - other
    return float(differences.std(ddof=1) / np.sqrt(len(differences)))


if __name__ == "__main__":
    main()
