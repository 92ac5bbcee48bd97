"""Searches on measured accuracy: what guided finds with 60 measurements beside others with 300.

    python benchmarks/measured_search.py [--samplers NAME...] [--seeds N] [--workers N]

The embedded supernet, its validation split, five budgets of multiply-adds. Every subnet is
extracted, recalibrated and evaluated as a search does it; which images it got right is kept in
runs/benchmarks/measured/measured.jsonl, so that an arch is measured once and a stopped benchmark goes on;
what each search found in runs/benchmarks/measured_search.json.
"""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import optuna
from results import OUT, Results, Row, spread

from cost_models.protocol import Target
from cost_models.registry import build
from search.problem.objectives import parse_objectives
from search.problem.problem import Problem
from search.proposing.distributions import distributions
from search.proposing.samplers import build_sampler
from search.runs.measuring import MeasuredAccuracy
from supernet.archs.arch import Arch
from supernet.families.catalog import open_supernet

SUPERNET = "fmnist_mbv3"
BUDGETS = (1.0e6, 1.25e6, 1.5e6, 1.8e6, 2.2e6)
"""Multiply-adds; a uniform choice keeps them with a chance of 2 % to 43 %."""
TRIALS = {"guided": 60, "nsga2": 300, "random": 300}
NAME = "measured_search"
HITS = OUT / "measured" / "measured.jsonl"
Task = tuple[str, float, int]

Hits = npt.NDArray[np.bool_]
"""Which validation images a subnet classifies rightly, shape (images,)."""


def packed(hits: Hits) -> str:
    return base64.b64encode(np.packbits(hits).tobytes()).decode()


def unpacked(text: str) -> Hits:
    return np.unpackbits(np.frombuffer(base64.b64decode(text), dtype=np.uint8)).astype(np.bool_)


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
            with self.file.open("a") as file:
                file.write(json.dumps({"arch": arch.id, "images": len(hits), "hits": packed(hits)}) + "\n")
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
                self.known[row["arch"]] = unpacked(row["hits"])[: row["images"]]
                self.read = file.tell()

    def measured(self, arch: Arch) -> Hits:
        from supernet.evaluating.evaluation import hits_of

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


def work(task: Task) -> list[tuple[str, float]]:
    import torch

    name, budget, seed = task
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return search(name, budget, seed, Oracle(HITS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samplers", nargs="+", default=list(TRIALS), choices=list(TRIALS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--again", nargs="+", default=(), metavar="SAMPLER", help="forget the rows of some")
    given = parser.parse_args()
    HITS.parent.mkdir(parents=True, exist_ok=True)
    results, oracle = Results(NAME, again=given.again), Oracle(HITS)
    tasks = itertools.product(given.samplers, BUDGETS, range(given.seeds))
    with ProcessPoolExecutor(given.workers) as pool:
        known = {(row["peer"], row["budget"], row["seed"]) for row in results.rows}
        under_way = {task: pool.submit(work, task) for task in tasks if task not in known}
        for (name, budget, seed), done in under_way.items():
            row = results.row(
                lambda found=done: best_of(found.result(), oracle), peer=name, budget=budget, seed=seed
            )  # type: ignore[misc]
            print(f"{name:8} {budget / 1e6:4.2f} M, seed {seed}: {100 * row['top1']:.2f}", flush=True)
    print("\n".join(table(results.rows)))


def best_of(found: list[tuple[str, float]], oracle: Oracle) -> Row:
    """The most accurate of what was measured, and the hits that its accuracy is made of."""
    arch, top1 = max(found, key=lambda pair: pair[1])
    oracle.refresh()
    return {"trials": len(found), "arch": arch, "top1": top1, "hits": packed(oracle.known[arch])}


def paired_deviation(one: Hits, other: Hits) -> float:
    """Standard deviation of the difference of two accuracies on the same images (McNemar, 1947)."""
    differences = one.astype(np.float64) - other
    return float(differences.std(ddof=1) / np.sqrt(len(differences)))


HEADS = ("MACs (M)", *(f"{name}, {trials}" for name, trials in TRIALS.items()), "difference", "noise", "held")


def lines_of(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """A line a budget: medians with ranges of the best top-1 in %, guided's beside the better other, and the noise.

    The noise is the median standard deviation of the difference of two searches' best on the same images.
    """
    lines = []
    for budget in BUDGETS:
        found = {name: [r for r in rows if (r["peer"], r["budget"]) == (name, budget)] for name in TRIALS}
        if not all(found.values()):
            continue
        top1 = {name: [100 * row["top1"] for row in mine] for name, mine in found.items()}
        ours, *others = (statistics.median(top1[name]) for name in TRIALS)
        noise = statistics.median(
            100 * paired_deviation(unpacked(one["hits"]), unpacked(other["hits"]))
            for one in found["guided"] for name in TRIALS if name != "guided" for other in found[name]
        )  # fmt: skip
        difference = ours - max(others)
        held = "yes" if difference >= 0 else "within the noise" if difference >= -noise else "**no**"
        lines.append((
            f"{budget / 1e6:.2f}", *(spread(top1[name], ".2f") for name in TRIALS), f"{difference:+.2f}",
            f"{noise:.2f}", held,
        ))  # fmt: skip
    return lines


def table(rows: Sequence[Row]) -> list[str]:
    lines = [HEADS, *lines_of(rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]


if __name__ == "__main__":
    main()
