"""The most accurate arch within one budget, where accuracy costs nothing to know: ours and other searches.

    python benchmarks/one_budget.py [--oracle NAME...] [--budget N...] [--seeds N] [--peers NAME...]
    python benchmarks/one_budget.py --long     (what benchmarks/best_known.json holds)

Every search is timed alone, one after the other; what each found is judged by the same predictor and
the same costs. ``ofa``'s finder runs with its defaults, 100 archs and 500 generations, on one thread or on
all, whichever is faster. Rows go to runs/benchmarks/one_budget.json as they come; a stopped benchmark goes on.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import ofa_finders
import peers
from oracles import ORACLES, REFERENCE, Oracle, open_oracle
from results import Results, Row, spread

from search.feasible.neighbours import distinct, neighbours
from search.problem.problem import Problem
from search.proposing.annealing import Cooling
from search.proposing.predictor_search import Effort, Predict
from search.proposing.waves import Tides
from search.reports.units import amount
from supernet import documents
from supernet.archs.space import Codes
from supernet.arrays import Floats

NAME = "one_budget"
BEST_KNOWN = Path(__file__).with_name("best_known.json")

OURS, OFA = "oncefit", "ofa"
EVALUATIONS = {
    OURS: 0, OFA: 0, "pymoo-nsga2": 20_000, "optuna-nsga2": 1_000, "optuna-tpe": 500, "optuna-random": 1_000,
}  # fmt: skip
"""Archs that each of the others may ask about; ours and ofa's stop by themselves."""
COUNT = 10
"""Archs that ours returns."""
PATIENCE_SECONDS = 200.0

SPEED_UP = 3.0
MEDIAN_GAP, WORST_GAP = 0.05, 0.10
"""Points of top-1 that the median and the worst of our seeds may be below the best known."""
EQUAL = 1e-6
"""Top-1 that differs by less is the same: float32 rounds otherwise for another number of archs at once."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--oracle", nargs="+", default=list(ORACLES), choices=list(ORACLES))
    parser.add_argument("--budget", nargs="+", type=float, help="milliseconds, or millions of multiply-adds")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--peers", nargs="+", default=list(EVALUATIONS), choices=list(EVALUATIONS))
    parser.add_argument("--generations", type=int, default=peers.GENERATIONS, help="of ofa's finder")
    parser.add_argument(
        "--patience", type=float, default=PATIENCE_SECONDS, help="seconds until ofa's finder is stopped"
    )
    parser.add_argument("--reference", type=Path, default=REFERENCE)
    parser.add_argument("--fresh", action="store_true", help="forget the rows that are there")
    parser.add_argument("--again", nargs="+", default=(), metavar="PEER", help="forget the rows of some")
    parser.add_argument("--long", action="store_true", help="search long for the best there is")
    given = parser.parse_args()
    oracles = [open_oracle(name, given.reference) for name in given.oracle]
    if given.long:
        search_long(oracles, given)
        return
    results = Results(NAME, given.fresh, given.again)
    for oracle in oracles:
        compare(oracle, results, given)
    print("\n".join(table(results.rows, [oracle.name for oracle in oracles])))


def budgets_of(oracle: Oracle, given: argparse.Namespace) -> Sequence[float]:
    unit = ofa_finders.KINDS[oracle.cost.name][1]
    return oracle.budgets if given.budget is None else [budget * unit for budget in given.budget]


def compare(oracle: Oracle, results: Results, given: argparse.Namespace) -> None:
    """A row for each budget, seed and search, the searches one after the other."""
    peers.warm_up(oracle)
    for budget in budgets_of(oracle, given):
        searches = searches_within(oracle, budget, given)
        for seed, (peer, search) in itertools.product(range(given.seeds), searches.items()):
            effort = {"generations": given.generations} if peer == OFA else {}
            row = results.row(
                lambda search=search, seed=seed, budget=budget: row_of(oracle, budget, search(seed)),
                oracle=oracle.name, cost=oracle.cost.name, budget=budget, peer=peer, seed=seed,
                evaluations=EVALUATIONS[peer], **effort,
            )  # fmt: skip
            print(
                f"{oracle.name} {amount(oracle.cost.name, budget)} seed {seed} {peer:14} {told(row)}",
                flush=True,
            )


def searches_within(
    oracle: Oracle, budget: float, given: argparse.Namespace
) -> dict[str, Callable[[int], peers.Searched]]:
    """Seed -> what was found, for each of the searches that are to run."""
    problem, predict = oracle.within(budget), oracle.predict
    found: dict[str, Callable[[int], peers.Searched]] = {}
    for peer in given.peers:
        if peer == OURS:
            found[peer] = lambda seed: peers.ours(
                oracle.within(budget), predict, COUNT, seed, slope=oracle.slope
            )
        elif peer == OFA:
            made = ofa_finders.finder(oracle, budget)
            found[peer] = partial(
                peers.evolution_finder, oracle, made, threads=ofa_finders.fastest_threads(made),
                patience=given.patience, generations=given.generations,
            )  # fmt: skip
        else:
            found[peer] = partial(
                peers.timed, peers.PEERS[peer], problem, predict, EVALUATIONS[peer]
            )  # fmt: skip
    return found


def row_of(oracle: Oracle, budget: float, found: peers.Searched) -> Row:
    """What is kept of a search: its best arch, judged alone, and its seconds."""
    row: Row = {
        "seconds": found.seconds,
        "cpu_seconds": found.cpu_seconds,
        "gave_up": found.gave_up,
        **found.settings,
    }
    if len(found.codes):
        [best] = found.codes[[oracle.predict(found.codes).argmax()]]
        row |= judged(oracle, best)
        assert row["value"] <= budget, f"{row['value']} is over the budget {budget}"
    return row


def judged(oracle: Oracle, codes: Codes) -> Row:
    """Top-1 and cost of one arch (dimensions,), by the models of ours."""
    one = codes[None]
    top1, cost = float(oracle.predict(one)[0]), float(oracle.cost.batch(one)[0])
    return {"top1": top1, "value": cost, "codes": codes.tolist()}


def told(row: Row) -> str:
    found = f"{100 * row['top1']:.3f} %" if "top1" in row else "nothing"
    return f"{found} in {row['seconds']:.2f} s"


# -- the table ---------------------------------------------------------------------

HEADS = (
    "oracle", "budget", "search", "seeds", "top-1 (%)", "seconds", "CPU seconds", "ratio", "gap to best (points)",
    "greatest gap",
)  # fmt: skip


def lines_of(rows: Iterable[Row], oracles: Sequence[str]) -> list[tuple[str, ...]]:
    """A line for each oracle, budget and search: medians with ranges; the ratio is to our median of CPU seconds."""
    lines = []
    for (oracle, cost, budget), by_peer in grouped(rows, oracles).items():
        best = best_top1(oracle, budget, by_peer)
        our_cpu = statistics.median(row["cpu_seconds"] for row in by_peer[OURS]) if OURS in by_peer else None
        for peer, mine in by_peer.items():
            top1 = [row["top1"] for row in mine if "top1" in row]
            seconds = [row["seconds"] for row in mine]
            gaps = (
                [f"{100 * (best - some):.3f}" for some in (statistics.median(top1), min(top1))]
                if top1
                else ["-", "-"]
            )
            cpu = [row["cpu_seconds"] for row in mine]
            ratio = "-" if our_cpu is None else f"{statistics.median(cpu) / our_cpu:.1f}"
            lines.append((
                oracle, amount(cost, budget), peer, str(len(mine)), spread([100 * t for t in top1], ".3f"),
                spread(seconds, ".2f"), spread(cpu, ".2f"), ratio, *gaps,
            ))  # fmt: skip
    return lines


FASTER = f"{SPEED_UP:g} times as fast"
NEAR_MEDIAN, NEAR_WORST = f"median within {MEDIAN_GAP:g}", f"worst within {WORST_GAP:g}"


def verdicts(rows: Iterable[Row], oracles: Sequence[str]) -> list[tuple[str, str, dict[str, bool | None]]]:
    """For each oracle and budget, what holds; None where a search is missing.

    As accurate: the worst of our seeds is no worse than the best of ofa's.
    """
    found = []
    for (oracle, cost, budget), by_peer in grouped(rows, oracles).items():
        ours, ofa = by_peer.get(OURS, []), by_peer.get(OFA, [])
        our_top1 = [row.get("top1", 0.0) for row in ours]
        held: dict[str, bool | None] = {
            "as accurate as ofa": None,
            FASTER: None,
            NEAR_MEDIAN: None,
            NEAR_WORST: None,
        }
        if our_top1:
            best = best_top1(oracle, budget, by_peer)
            held[NEAR_MEDIAN] = 100 * (best - statistics.median(our_top1)) <= MEDIAN_GAP
            held[NEAR_WORST] = 100 * (best - min(our_top1)) <= WORST_GAP
            if ofa:
                their_best = max(row.get("top1", 0.0) for row in ofa)
                held["as accurate as ofa"] = min(our_top1) >= their_best - EQUAL
                ours_s, ofa_s = (
                    statistics.median(row["cpu_seconds"] for row in mine) for mine in (ours, ofa)
                )
                held[FASTER] = SPEED_UP * ours_s <= ofa_s
        found.append((oracle, amount(cost, budget), held))
    return found


def grouped(
    rows: Iterable[Row], oracles: Sequence[str]
) -> dict[tuple[str, str, float], dict[str, list[Row]]]:
    found: dict[tuple[str, str, float], dict[str, list[Row]]] = {}
    places = [row for row in rows if row["oracle"] in oracles]
    names = list(EVALUATIONS)
    for row in sorted(
        places, key=lambda row: (oracles.index(row["oracle"]), row["budget"], names.index(row["peer"]))
    ):
        place = (row["oracle"], row["cost"], row["budget"])
        found.setdefault(place, {}).setdefault(name_of(row), []).append(row)
    return found


def name_of(row: Row) -> str:
    """The search, and for ofa's finder its generations where they are not its default."""
    generations = row.get("generations", peers.GENERATIONS)
    return str(row["peer"]) + (f", {generations} generations" if generations != peers.GENERATIONS else "")


def best_top1(oracle: str, budget: float, by_peer: dict[str, list[Row]]) -> float:
    """The best that is known: that of the file, or of a row."""
    known = best_known().get(oracle, {}).get(f"{budget:g}", {}).get("top1", 0.0)
    return max([known, *(row.get("top1", 0.0) for mine in by_peer.values() for row in mine)])


def table(rows: Iterable[Row], oracles: Sequence[str]) -> list[str]:
    rows = list(rows)
    lines = [HEADS, *lines_of(rows, oracles)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADS))]
    printed = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
    ]
    words = {True: "pass", False: "FAIL", None: "not run"}
    for oracle, budget, held in verdicts(rows, oracles):
        printed.append(
            f"{oracle} {budget}: " + ", ".join(f"{name}: {words[ok]}" for name, ok in held.items())
        )
    return printed


# -- the best there is -------------------------------------------------------------

LONG_EFFORT = Effort(
    start=4096, generations=160, children=1024, drawn=16, elites=512, climbers=64, climbs=32,
    tides=Tides(
        first=Cooling(steps=1000, chains=((0.0, 128), (0.3, 64)), least=8),
        later=Cooling(steps=400, chains=((0.0, 64), (0.3, 48))),
        waves=12, same=100, hope=0.004, islands=5, family=32, mixtures=512, climbed=12, rounds=48,
        patience=12, last=32,
    ),
)  # fmt: skip
"""What ours is given: many times as much of everything, and no early end."""
LONG_EVALUATIONS = 200_000
LONG_GENERATIONS = 2_000


def best_known() -> dict[str, dict[str, Row]]:
    """Oracle -> budget -> the best predicted top-1, and whose it is."""
    if not BEST_KNOWN.exists():
        return {}
    found: dict[str, dict[str, Row]] = json.loads(BEST_KNOWN.read_text())
    return found


def search_long(oracles: Iterable[Oracle], given: argparse.Namespace) -> None:
    """Search long with everything, climb from what each finds, and keep what is better than the file's."""
    kept = Results(NAME).rows
    for oracle in oracles:
        for budget in budgets_of(oracle, given):
            problem = oracle.within(budget)
            for name, search in long_searches(oracle, budget, given).items():
                for seed in range(given.seeds if name != OFA else 1):
                    keep_if_better(oracle, budget, name, polished(problem, oracle.predict, search(seed)))
            for row in kept:
                if (row["oracle"], row["budget"]) == (oracle.name, budget) and "codes" in row:
                    found = np.array([row["codes"]], dtype=np.int16)
                    keep_if_better(oracle, budget, row["peer"], polished(problem, oracle.predict, found))
            best = best_known()[oracle.name][f"{budget:g}"]
            print(
                f"{oracle.name} {amount(oracle.cost.name, budget)}: {100 * best['top1']:.4f} % by {best['by']}",
                flush=True,
            )


def long_searches(
    oracle: Oracle, budget: float, given: argparse.Namespace
) -> dict[str, Callable[[int], Codes]]:
    """Seed -> codes, for each of the searches that are to run."""
    effort = LONG_EFFORT
    problem, predict = oracle.within(budget), oracle.predict
    found: dict[str, Callable[[int], Codes]] = {}
    if OURS in given.peers:
        found[OURS] = lambda seed: peers.ours(problem, predict, COUNT, seed, effort, oracle.slope).codes
    if "pymoo-nsga2" in given.peers:
        nsga2 = peers.PEERS["pymoo-nsga2"]
        found["pymoo-nsga2"] = lambda seed: peers.timed(nsga2, problem, predict, LONG_EVALUATIONS, seed).codes
    if OFA in given.peers:
        finder = ofa_finders.finder(oracle, budget)
        found[OFA] = lambda seed: (
            peers.evolution_finder(oracle, finder, seed, 1, 10 * given.patience, LONG_GENERATIONS).codes
        )
    return found


def polished(problem: Problem, predict: Predict, codes: Codes) -> Codes:
    """The best of some archs, and from there to better ones, one and two changed choices away, until there is none."""
    if not len(codes):
        return codes
    values = predict(codes)
    here, top1 = codes[[values.argmax()]], float(values.max())
    while True:
        for around in (neighbours(problem.space, here), two_steps(problem, here)):
            near = around[problem.within(around)]
            values: Floats = predict(near)
            if len(near) and values.max() > top1 + EQUAL / 100:
                here, top1 = near[[values.argmax()]], float(values.max())
                break
        else:
            return here


def two_steps(problem: Problem, here: Codes) -> Codes:
    return distinct(neighbours(problem.space, neighbours(problem.space, here)))


def keep_if_better(oracle: Oracle, budget: float, by: str, codes: Codes) -> None:
    if not len(codes):
        return
    known = best_known()
    mine = known.setdefault(oracle.name, {})
    made: dict[str, Any] = judged(oracle, codes[0])
    if made["top1"] > mine.get(f"{budget:g}", {}).get("top1", 0.0) + EQUAL / 100:
        mine[f"{budget:g}"] = {
            "top1": made["top1"],
            oracle.cost.name: made["value"],
            "by": by,
            "codes": made["codes"],
        }
        documents.write_text(BEST_KNOWN, pretty(known))


def pretty(known: dict[str, dict[str, Row]]) -> str:
    """A line for each budget."""
    parts = []
    for oracle, rows in known.items():
        ordered = sorted(rows.items(), key=lambda item: float(item[0]))
        inner = ",\n".join(f"  {json.dumps(budget)}: {json.dumps(row)}" for budget, row in ordered)
        parts.append(f" {json.dumps(oracle)}: {{\n{inner}\n }}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    main()
