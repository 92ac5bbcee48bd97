"""What racing saves, and what it costs: the same searches with and without it on the embedded supernet.

    python benchmarks/racing.py [--samplers NAME...] [--seeds N] [--workers N] [--out FOLDER]

Real searches, measured as benchmarks/measured_search.py does it: which validation images a subnet got
right is kept in FOLDER/measured.jsonl, so that a stopped benchmark goes on. The seconds of a candidate
are measured apart. Other tests, and parts, are tried on the candidates of the searches without racing.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import moocore
import numpy as np
import numpy.typing as npt
import optuna
import torch
from measured_search import HITS, SUPERNET, Hits, Oracle

from search.runs import study as studies
from search.runs.config import RunConfig
from search.runs.front import points
from search.runs.opening import make_run
from search.runs.racing import LEVEL, Race, Raced, Rival, dominated, images_saved, packed
from search.runs.trials import search
from supernet.accuracy import Accuracy
from supernet.archs.arch import Arch
from supernet.evaluating.evaluation import accuracy_of_hits
from supernet.families.catalog import open_supernet
from supernet.images.data import Dataset

CASES: Sequence[tuple[tuple[str, ...], float]] = (
    (("top1",), 1.0e6), (("top1",), 1.5e6), (("top1", "macs"), 1.5e6),
)  # fmt: skip
"""Objectives, and a budget of multiply-adds."""
TRIALS = 60
TIMED = 12


@dataclass(frozen=True)
class Kept:
    """Accuracy as a search measures it, from hits that are measured once; of top-1 only."""

    oracle: Oracle

    @property
    def data(self) -> Dataset:
        return self.oracle.measure.data

    def __call__(self, arch: Arch, split: str) -> Accuracy:
        return accuracy_of_hits(torch.from_numpy(self.oracle(arch))[:, None], split)

    def race(self, arch: Arch, rival: Rival | None, accuracy: str) -> tuple[Accuracy, str] | Raced:
        hits = self.oracle(arch)
        race = Race(len(hits), rival)
        for part in race.parts:
            places = list(part)
            if (stopped := race.look(places, hits[places])) is not None:
                return stopped
        return self(arch, "validation"), packed(race.hits)


@dataclass(frozen=True)
class Found:
    """Of one search: its candidates in order, as arch id and signed objectives, and those stopped."""

    measured: list[tuple[str, tuple[float, ...]]]
    raced: dict[str, Raced]
    saved: float


def searched(
    sampler: str, case: tuple[tuple[str, ...], float], seed: int, race: bool, oracle: Oracle
) -> Found:
    objectives, budget = case
    config = RunConfig(
        supernet=SUPERNET, objectives=objectives, budgets={"macs": budget}, sampler=sampler,
        trials=TRIALS, seed=seed, race=race,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder) / "run", config, open_supernet(SUPERNET), None, None)
        vars(run)["accuracy"] = Kept(oracle)
        search(run, lambda progress: None)
        study = run.study()
        candidates, raced = studies.candidates(study, run.problem), studies.raced(study, run.problem)
        signed = points(candidates, run.problem.objectives)
    images = len(oracle.measure.data.validation)
    found = [(c.arch.id, tuple(map(float, p))) for c, p in zip(candidates, signed, strict=True)]
    return Found(found, raced, images_saved(raced, len(candidates), images))


Task = tuple[str, tuple[tuple[str, ...], float], int, Path]


def work(task: Task) -> tuple[Task, Found, Found]:
    sampler, case, seed, out = task
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    oracle = Oracle(out / "measured.jsonl")
    without, within = (searched(sampler, case, seed, race, oracle) for race in (False, True))
    return task, without, within


def quality(found: Found, budget: float) -> float:
    """The best top-1, or of two objectives the hypervolume within half of top-1 and the budget."""
    signed = np.array([values for _, values in found.measured])
    if signed.shape[1] == 1:
        return float(-signed.min())
    return float(moocore.hypervolume(signed, ref=[-0.5, budget]) / (0.5 * budget))


def sampler_and_case(one: tuple[Task, Found, Found]) -> tuple[str, tuple[tuple[str, ...], float]]:
    return one[0][:2]


def summary(done: Sequence[tuple[Task, Found, Found]]) -> list[dict[str, Any]]:
    """A row for each sampler and case; qualities seed by seed without and with racing."""
    rows = []
    by_case = sorted(done, key=sampler_and_case)
    for (sampler, (objectives, budget)), group in itertools.groupby(by_case, sampler_and_case):
        pairs = [(without, within) for _, without, within in group]
        qualities = [[quality(found, budget) for found in pair] for pair in pairs]
        rows.append({
            "sampler": sampler, "objectives": list(objectives), "budget_macs": budget, "seeds": len(pairs),
            "stopped_of": [len(within.raced) for _, within in pairs], "trials": TRIALS,
            "images_saved": statistics.mean(within.saved for _, within in pairs),
            "quality": "top1" if len(objectives) == 1 else "hypervolume",
            "without": [one for one, _ in qualities], "with": [other for _, other in qualities],
            "mean_difference": statistics.mean(other - one for one, other in qualities),
        })  # fmt: skip
    return rows


# -- other tests and parts ---------------------------------------------------------

Test = Callable[[int, int, int, int, float], bool]
"""Whether wins, losses, seen and all images, and the level of a look stop a candidate."""


def finite(wins: int, losses: int, seen: int, images: int, level: float) -> bool:
    return dominated(wins, losses, seen, images, level) <= level


def endless(wins: int, losses: int, seen: int, images: int, level: float) -> bool:
    """The usual sign test, for a split without end."""
    from scipy.stats import binom

    return losses > wins and float(binom.sf(losses - 1, wins + losses, 0.5)) <= level


def optunas(wins: int, losses: int, seen: int, images: int, level: float) -> bool:
    """What Optuna's WilcoxonPruner does with hits by default: level 0.1 at every look, whatever their number."""
    from scipy.stats import wilcoxon

    differences = np.repeat([1, -1, 0], [wins, losses, seen - wins - losses])
    return (
        losses > wins and float(wilcoxon(differences, alternative="less", zero_method="zsplit").pvalue) < 0.1
    )


SHARES = {
    "1/8 1/4 1/2": (1, 2, 4),
    "1/4 1/2": (2, 4),
    "1/4 1/2 3/4": (2, 4, 6),
    "every 1/8": (1, 2, 3, 4, 5, 6, 7),
}
"""Eighths of a split after which the test is made."""
ORDER = (0, 4, 2, 6, 1, 5, 3, 7)


def replay(
    hits: Sequence[Hits], test: Test, eighths: Sequence[int], level: float, rivals: int
) -> Iterator[tuple[float, bool, bool]]:
    """Share of images, stopped, at least as accurate as every other; of each candidate but the first."""
    finished = [hits[0]]
    for one in hits[1:]:
        others = sorted(finished, key=lambda other: -other.sum())[:rivals]
        images, seen, stopped = len(one), np.zeros(len(one), dtype=np.bool_), False
        for looks in eighths:
            for first in ORDER[:looks]:
                seen[first::8] = True
            stopped = any(
                test(
                    int((one & ~other)[seen].sum()), int((other & ~one)[seen].sum()), int(seen.sum()), images,
                    level / len(eighths) / len(others),
                )
                for other in others
            )  # fmt: skip
            if stopped:
                break
        yield (seen.mean() if stopped else 1.0), stopped, bool(one.sum() >= others[0].sum())
        if not stopped:
            finished.append(one)


def alternatives(runs: Sequence[Sequence[Hits]]) -> list[dict[str, Any]]:
    """What other tests, parts and levels would have saved, and which share of those as accurate they stop."""
    tried = [
        *(
            (name, test, shares, LEVEL, 1)
            for name, test in {"finite": finite, "endless": endless}.items()
            for shares in SHARES
        ),
        *(("finite", finite, "1/4 1/2", level, 1) for level in (0.05, 0.2, 0.3)),
        ("finite", finite, "1/4 1/2", LEVEL, 3),
        *(("WilcoxonPruner", optunas, shares, LEVEL, 1) for shares in ("1/4 1/2", "every 1/8")),
    ]
    rows = []
    for name, test, shares, level, rivals in tried:
        outcomes = [one for hits in runs for one in replay(hits, test, SHARES[shares], level, rivals)]
        as_good = [stopped for _, stopped, good in outcomes if good]
        rows.append({
            "test": name, "after": shares, "level": level, "rivals": rivals, "candidates": len(outcomes),
            "images_saved": 1 - statistics.mean(share for share, _, _ in outcomes),
            "stopped": statistics.mean(stopped for _, stopped, _ in outcomes),
            "as_good": len(as_good), "of_them_stopped": sum(as_good),
        })  # fmt: skip
    return rows


def ties(known: Sequence[Hits], level: float, pairs: int, rng: np.random.Generator) -> dict[str, Any]:
    """Share of subnets stopped that get as many images right as their rival, or up to two more."""
    counts: npt.NDArray[np.int64] = np.array([hits.sum() for hits in known])
    order = np.argsort(counts, kind="stable")
    close = [
        (b, a)
        for i, a in enumerate(order)
        for b in order[i + 1 : i + 40]
        if counts[b] - counts[a] <= 2 and not np.array_equal(known[a], known[b])
    ]
    chosen = rng.choice(len(close), min(pairs, len(close)), replace=False)
    stopped = 0
    for at in chosen:
        candidate, rival = (known[place] for place in close[at])
        race = Race(len(candidate), Rival("rival", float(rival.mean()), rival), level)
        stopped += any(race.look(part, candidate[part]) is not None for part in race.parts)
    return {"level": level, "pairs": len(chosen), "stopped": stopped / max(1, len(chosen))}


def seconds(oracle: Oracle) -> dict[str, float]:
    """Medians, for one random subnet, of what a search does before evaluation and of evaluation."""
    from supernet.evaluating.evaluation import hits_by_part

    space, data = oracle.measure.supernet.space, oracle.measure.data
    ready, quarter, whole = [], [], []
    images = len(data.validation)
    nobody = Rival("none", 0.0, np.zeros(images, dtype=np.bool_))
    for arch in space.decode(space.sample(TIMED, np.random.default_rng(0))):
        began = time.perf_counter()
        subnet = oracle.measure.subnet(arch)
        times = [time.perf_counter()]
        ready.append(times[0] - began)
        for _ in hits_by_part(subnet, arch, data, "validation", Race(images, nobody).parts):
            times.append(time.perf_counter())
        quarter.append(times[1] - times[0])
        whole.append(times[-1] - times[0])
    names = {"extract_and_recalibrate_s": ready, "first_quarter_s": quarter, "whole_split_s": whole}
    return {name: statistics.median(of) for name, of in names.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samplers", nargs="+", default=["guided", "nsga2"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HITS.parent)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    tasks = [
        (sampler, case, seed, given.out)
        for sampler, seed, case in itertools.product(given.samplers, range(given.seeds), CASES)
    ]
    done = []
    with ProcessPoolExecutor(given.workers) as pool:
        for task, without, within in pool.map(work, tasks):
            done.append((task, without, within))
            before, after = (quality(found, task[1][1]) for found in (without, within))
            print(
                f"{task[0]} {' '.join(task[1][0])} {task[1][1] / 1e6:g} M seed {task[2]}: {100 * within.saved:.0f} % of "
                f"images saved, {len(within.raced)} of {TRIALS} stopped, {before:.4f} -> {after:.4f}",
                flush=True,
            )
    oracle = Oracle(given.out / "measured.jsonl")
    oracle.refresh()
    times, rows = seconds(oracle), summary(done)
    for row in rows:
        whole = times["whole_split_s"] / (times["extract_and_recalibrate_s"] + times["whole_split_s"])
        row["seconds_of_measuring_saved"] = row["images_saved"] * whole
    result = {
        "searches": rows,
        "alternatives": {
            sampler: alternatives([
                [oracle.known[arch_id] for arch_id, _ in without.measured]
                for task, without, _ in done if task[0] == sampler and len(task[1][0]) == 1
            ])
            for sampler in given.samplers
        },
        "ties": [
            ties(list(oracle.known.values()), level, 20_000, np.random.default_rng(0)) for level in (LEVEL, 0.2)
        ],
        "seconds": times,
    }  # fmt: skip
    (given.out / "racing.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
