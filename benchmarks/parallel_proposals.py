"""``guided`` with many workers on one study: what it loses per evaluation, and what it gains in time.

    python benchmarks/parallel_proposals.py [--workers N...] [--pending NAME...] [--question front budget] [--seeds N]

The accuracy is what the predictor for ofa_mbv3_w1.0 says, at no cost, and time is simulated (``simulated_workers.py``). Rows go
to runs/benchmarks/parallel_proposals.json as they come; a stopped benchmark goes on, and ``--seeds 0`` prints what is there.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import optuna
from oracles import Oracle, hypervolume, open_oracle
from pending_archs import CHOSEN, TREATMENTS
from results import Results, Row, spread
from simulated_workers import simulated

from search.problem.problem import Problem
from search.proposing.guided import GuidedSampler
from search.proposing.samplers import startup
from supernet.archs.space import Codes

NAME, ORACLE = "parallel_proposals", "w1.0-macs"
WORKERS = (1, 4, 16, 32, 64)
COMPARED = 16
"""Workers at which the ways to treat pending archs are compared, and at which no more than LOSS may be lost."""
ENOUGH, MOST = 200, 300
"""Evaluations after which runs are compared, and after which those end that are timed: more workers may need more."""
LOSS = 0.03
BUDGET = 1
"""Which of the oracle's budgets: 300 M multiply-adds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS)
    parser.add_argument("--pending", nargs="+", default=list(TREATMENTS), choices=list(TREATMENTS))
    parser.add_argument("--question", nargs="+", default=list(QUESTIONS), choices=list(QUESTIONS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--fresh", action="store_true", help="forget the rows that are there")
    parser.add_argument("--again", nargs="+", default=(), metavar="NAME", help="forget the rows of some")
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    results, oracle = Results(NAME, given.fresh, given.again), open_oracle(ORACLE)
    others = [name for name in given.pending if name != CHOSEN]
    runs = [*itertools.product([CHOSEN], given.workers), *itertools.product(others, [COMPARED])]
    for question, seed, (peer, workers) in itertools.product(given.question, range(given.seeds), runs):
        run = partial(measure, oracle, question, peer, workers, seed)
        row = results.row(run, peer=peer, question=question, workers=workers, seed=seed)
        print(
            f"{peer} {question} {workers} workers, seed {seed}: {row['quality'][ENOUGH - 1]:.4f}", flush=True
        )
    for table in (
        evaluations_table(results.rows),
        seconds_table(results.rows),
        treatments_table(results.rows),
    ):
        print("\n".join(["", *table]))


# -- one run -----------------------------------------------------------------------


def measure(oracle: Oracle, question: str, peer: str, workers: int, seed: int) -> Row:
    """How good what is known is after each evaluation, and when that one ended."""
    asked = QUESTIONS[question]
    problem = asked.problem(oracle)
    most = MOST if (peer, question) == (CHOSEN, "front") else ENOUGH
    # as a search of ENOUGH trials has it
    guided = partial(GuidedSampler, problem, seed=seed, startup=startup(ENOUGH), pending=TREATMENTS[peer])
    made = simulated(problem, oracle.predict, guided, workers, most, seed)
    quality = asked.quality(oracle, made.codes)
    return {
        "quality": [round(value, 6) for value in quality],
        "seconds": [round(value, 2) for value in made.seconds],
        "thought_ms": round(1e3 * statistics.median(made.thought), 2),
    }


# -- what is asked -----------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """A problem, and how good the first n of its archs are together, for each n."""

    problem: Callable[[Oracle], Problem]
    quality: Callable[[Oracle, Codes], Sequence[float]]


def shares(oracle: Oracle, codes: Codes) -> list[float]:
    """Hypervolumes, as shares of the oracle's box."""
    top1, costs = oracle.predict(codes), oracle.cost.batch(codes)
    return [hypervolume(top1[:n], costs[:n], oracle.box) for n in range(1, len(codes) + 1)]


def best(oracle: Oracle, codes: Codes) -> list[float]:
    """The best top-1; all archs are within the budget."""
    found: list[float] = np.maximum.accumulate(oracle.predict(codes)).tolist()
    return found


QUESTIONS: Mapping[str, Question] = {
    "front": Question(lambda oracle: oracle.both(), shares),
    "budget": Question(lambda oracle: oracle.within(oracle.budgets[BUDGET]), best),
}


# -- tables ------------------------------------------------------------------------


def of(rows: Iterable[Row], question: str, workers: int, peer: str = CHOSEN) -> dict[int, Row]:
    """Seed -> row."""
    return {
        row["seed"]: row
        for row in rows
        if (row["peer"], row["question"], row["workers"]) == (peer, question, workers)
    }


def after(rows: Mapping[int, Row], evaluations: int) -> list[float]:
    return [row["quality"][evaluations - 1] for row in rows.values()]


def evaluations_table(rows: Sequence[Row]) -> list[str]:
    """Workers against what is known after so many evaluations."""
    checkpoints = (ENOUGH // 4, ENOUGH // 2, ENOUGH)
    lines = [
        ("workers", *(f"after {n}" for n in checkpoints), "lost", "top-1 within (%)", "lost (points)", "held")
    ]
    for workers in sorted({row["workers"] for row in rows}):
        front = of(rows, "front", workers)
        if not front:
            continue
        lost, *within = compared(rows, workers, CHOSEN)
        held = "-" if workers > COMPARED or lost is None else "yes" if lost <= LOSS else "**no**"
        shown = "-" if lost is None else f"{100 * lost:.2f} %"
        lines.append((
            str(workers), *(spread(after(front, n), ".4f") for n in checkpoints), shown, *within, held,
        ))  # fmt: skip
    return aligned(lines)


def compared(rows: Sequence[Row], workers: int, peer: str) -> tuple[float | None, str, str]:
    """Share of the hypervolume lost to one worker on the same seeds, top-1 within the budget, and points of it lost.

    Losses are of means.
    """
    (lost, _), (_, points) = (
        losses(of(rows, question, 1), of(rows, question, workers, peer)) for question in QUESTIONS
    )
    within = spread([100 * top1 for top1 in after(of(rows, "budget", workers, peer), ENOUGH)], ".3f")
    return lost, within, "-" if points is None else f"{100 * points:.3f}"


def losses(alone: Mapping[int, Row], together: Mapping[int, Row]) -> tuple[float | None, float | None]:
    """Of the seeds that both have: the share that is lost, and how much that is; None where there is no such seed."""
    seeds = alone.keys() & together.keys()
    if not seeds:
        return None, None
    before, now = (
        statistics.mean(after({seed: rows[seed] for seed in seeds}, ENOUGH)) for rows in (alone, together)
    )
    return 1 - now / before, before - now


def first_at(row: Row, quality: float) -> int | None:
    """After how many evaluations a run is no worse than ``quality``."""
    return next((n for n, value in enumerate(row["quality"], 1) if value >= quality), None)


def seconds_table(rows: Sequence[Row]) -> list[str]:
    """Workers against simulated seconds until the front is as good as that of one worker after ENOUGH evaluations.

    Medians of runs of which fewer than half never get there.
    """
    lines = [
        (
            "workers",
            "evaluations",
            "seconds",
            "faster",
            "of linear",
            f"seconds for {ENOUGH}",
            "faster",
            "proposal (ms)",
        )
    ]
    alone = of(rows, "front", 1)
    if not alone:
        return []
    target = statistics.median(after(alone, ENOUGH))
    reference: dict[str, float] = {}
    for workers in sorted({row["workers"] for row in rows}):
        mine = list(of(rows, "front", workers).values())
        if not mine:
            continue
        needed = [first_at(row, target) for row in mine]
        reached = statistics.median(n or np.inf for n in needed)
        seconds = statistics.median(
            row["seconds"][n - 1] if n else np.inf for row, n in zip(mine, needed, strict=True)
        )
        whole = statistics.median(row["seconds"][ENOUGH - 1] for row in mine)
        reference = reference or {"seconds": seconds, "whole": whole}
        faster, faster_whole = reference["seconds"] / seconds, reference["whole"] / whole
        lines.append((
            str(workers), *((f"{reached:.0f}", f"{seconds:,.0f}", f"{faster:.1f}", f"{100 * faster / workers:.0f} %")
            if np.isfinite(seconds) else (f"over {MOST}", "-", "-", "-")),
            f"{whole:,.0f}", f"{faster_whole:.1f}", f"{statistics.median(row['thought_ms'] for row in mine):.0f}",
        ))  # fmt: skip
    return aligned(lines)


def treatments_table(rows: Sequence[Row]) -> list[str]:
    """Ways to treat pending archs, with COMPARED workers."""
    lines = [("pending archs", "hypervolume", "lost", "top-1 within (%)", "lost (points)", "proposal (ms)")]
    for peer in dict.fromkeys(row["peer"] for row in rows):
        front = of(rows, "front", COMPARED, peer)
        lost, *within = compared(rows, COMPARED, peer)
        if lost is not None:
            thought = statistics.median(row["thought_ms"] for row in front.values())
            lines.append((
                peer, spread(after(front, ENOUGH), ".4f"), f"{100 * lost:.2f} %", *within, f"{thought:.0f}",
            ))  # fmt: skip
    return aligned(lines)


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    head, *rest = ["| " + " | ".join(line) + " |" for line in lines]
    return [head, "|" + " --- |" * len(lines[0]), *rest]


if __name__ == "__main__":
    main()
