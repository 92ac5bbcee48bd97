"""The front of accuracy and cost, where accuracy costs nothing to know: ours beside pymoo's NSGA-II.

    python benchmarks/cheap_front.py [--oracle NAME...] [--seeds N] [--evaluations N]

The hypervolume is a share of a box that is fixed for each oracle (benchmarks/oracles.py). Ours is that of
the front it returns; pymoo's is that of everything it evaluated, which is more than its last population's.
Rows go to runs/benchmarks/cheap_front.json as they come; a stopped benchmark goes on.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import peers
from oracles import ORACLES, REFERENCE, Oracle, open_oracle
from results import Results, Row, spread

from search.proposing.predictor_search import Predict
from supernet.archs.space import Codes
from supernet.arrays import Floats

NAME = "cheap_front"
OURS, PYMOO = "oncefit", "pymoo-nsga2"
COUNT = 1_000
"""Archs of the front that ours returns at most."""
SPEED_UP = 3.0


class Asked:
    """Predicts, and keeps what it was asked and what it said."""

    def __init__(self, predict: Predict) -> None:
        self.predict, self.codes, self.top1 = predict, list[Codes](), list[Floats]()

    def __call__(self, codes: Codes) -> Floats:
        said = self.predict(codes)
        self.codes.append(codes)
        self.top1.append(said)
        return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--oracle", nargs="+", default=list(ORACLES), choices=list(ORACLES))
    parser.add_argument("--seeds", type=int, default=5)
    names = [OURS, PYMOO, f"{PYMOO}-integer", "optuna-nsga2"]
    parser.add_argument("--peers", nargs="+", default=[OURS, PYMOO], choices=names)
    parser.add_argument("--evaluations", type=int, default=peers.EVALUATIONS, help="of the others")
    parser.add_argument("--reference", type=Path, default=REFERENCE)
    parser.add_argument("--fresh", action="store_true", help="forget the rows that are there")
    parser.add_argument("--again", nargs="+", default=(), metavar="PEER", help="forget the rows of some")
    given = parser.parse_args()
    results = Results(NAME, given.fresh, given.again)
    for name in given.oracle:
        oracle = open_oracle(name, given.reference)
        peers.warm_up(oracle)
        for seed, peer in itertools.product(range(given.seeds), given.peers):
            evaluations = 0 if peer == OURS else given.evaluations
            row = results.row(
                partial(measure, oracle, search_of(oracle, peer, evaluations), seed),
                oracle=oracle.name, peer=peer, seed=seed, evaluations=evaluations,
            )  # fmt: skip
            print(
                f"{name} seed {seed} {peer:14} {row['hypervolume']:.5f} in {row['seconds']:.2f} s", flush=True
            )
    print("\n".join(table(results.rows, given.oracle)))


def search_of(oracle: Oracle, peer: str, evaluations: int) -> Callable[[Predict, int], peers.Searched]:
    if peer == OURS:
        return lambda predict, seed: peers.ours(oracle.both(), predict, COUNT, seed)
    return lambda predict, seed: peers.timed(peers.PEERS[peer], oracle.both(), predict, evaluations, seed)


def measure(oracle: Oracle, search: Callable[[Predict, int], peers.Searched], seed: int) -> Row:
    """Hypervolumes of what was returned and of all that was predicted, as shares of the oracle's box."""
    asked = Asked(oracle.predict)
    found = search(asked, seed)
    everything = np.concatenate(asked.codes)
    return {
        "seconds": found.seconds, "archs": len(found.codes), "predictions": len(everything),
        "hypervolume": oracle.hypervolume(found.codes), "hypervolume_of_all": oracle.hypervolume(everything),
    }  # fmt: skip


# -- the table ---------------------------------------------------------------------

HEADS = (
    "oracle", "search", "predictions", "seeds", "hypervolume", "archs", "of all predicted", "seconds", "ratio",
)  # fmt: skip


def by_peer(rows: Iterable[Row], oracle: str) -> dict[str, list[Row]]:
    """The rows of an oracle, by search and evaluations."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row["oracle"] == oracle:
            name = row["peer"] + (f" {row['evaluations']:,}" if row["evaluations"] else "")
            found.setdefault(name, []).append(row)
    return found


def lines_of(rows: Iterable[Row], oracles: Sequence[str]) -> list[tuple[str, ...]]:
    """A line for each oracle and search: medians with ranges; the ratio is to our median of seconds."""
    rows, lines = list(rows), []
    for oracle in oracles:
        found = by_peer(rows, oracle)
        ours = found.get(OURS)
        for name, mine in found.items():
            middle = {
                key: statistics.median(row[key] for row in mine)
                for key in ("predictions", "archs", "seconds")
            }
            ratio = (
                f"{middle['seconds'] / statistics.median(row['seconds'] for row in ours):.1f}"
                if ours
                else "-"
            )
            lines.append((
                oracle, name.split(" ")[0], f"{middle['predictions']:,.0f}", str(len(mine)),
                spread((row["hypervolume"] for row in mine), ".4f"), f"{middle['archs']:.0f}",
                spread((row["hypervolume_of_all"] for row in mine), ".4f"),
                spread((row["seconds"] for row in mine), ".2f"), ratio,
            ))  # fmt: skip
    return lines


def verdicts(rows: Iterable[Row], oracles: Sequence[str]) -> list[tuple[str, dict[str, bool | None]]]:
    """For each oracle what holds, by medians over seeds; None where a search is missing."""
    rows, found = list(rows), []
    for oracle in oracles:
        mine = by_peer(rows, oracle)
        ours, theirs = mine.get(OURS), mine.get(f"{PYMOO} {peers.EVALUATIONS:,}")
        held: dict[str, bool | None] = {"hypervolume of pymoo's": None, "3 times as fast": None}
        if ours and theirs:
            median = {
                key: [statistics.median(row[key] for row in of) for of in (ours, theirs)]
                for key in ("hypervolume", "hypervolume_of_all", "seconds")
            }
            held["hypervolume of pymoo's"] = median["hypervolume"][0] >= median["hypervolume_of_all"][1]
            held["3 times as fast"] = SPEED_UP * median["seconds"][0] <= median["seconds"][1]
        found.append((oracle, held))
    return found


def table(rows: Iterable[Row], oracles: Sequence[str]) -> list[str]:
    rows = list(rows)
    lines = [HEADS, *lines_of(rows, oracles)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADS))]
    printed = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
    ]
    words = {True: "pass", False: "FAIL", None: "not run"}
    for oracle, held in verdicts(rows, oracles):
        printed.append(f"{oracle}: " + ", ".join(f"{name}: {words[ok]}" for name, ok in held.items()))
    return printed


if __name__ == "__main__":
    main()
