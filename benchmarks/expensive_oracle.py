"""The front of accuracy and cost where each accuracy is dear: hypervolume against calls of the oracle.

    python benchmarks/expensive_oracle.py [--oracle NAME...] [--peers NAME...] [--seeds N]

The oracle is asked about one arch at a time and counts; an arch that comes again is not counted. Samplers
have their defaults. Rows go to runs/benchmarks/expensive_oracle.json as they come, the curves to
docs/images/expensive-oracle.png; a stopped benchmark goes on.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import peers
from oracles import ORACLES, REFERENCE, Oracle, hypervolume, open_oracle
from results import Results, Row, spread

NAME = "expensive_oracle"
OURS, RIVALS = "guided", ("optuna-nsga2", "pymoo-nsga2", "pymoo-nsga2-integer")
CALLS = {OURS: 400, **dict.fromkeys(RIVALS, 2000), "optuna-random": 2000, "optuna-tpe": 200}
"""How often each may ask; TPE's own time grows with its trials, to half a second each."""
ENOUGH, MANY = 200, 2000
"""What the rivals have after MANY calls, ours should have within ENOUGH."""
CHECKPOINTS = (16, 25, 50, 75, 100, 125, 150, 175, 200, 250, 300, 400, 500, 700, 1000, 1400, 2000)
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "expensive-oracle.png"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--oracle", nargs="+", default=list(ORACLES), choices=list(ORACLES))
    parser.add_argument("--peers", nargs="+", default=list(CALLS), choices=list(CALLS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--reference", type=Path, default=REFERENCE)
    parser.add_argument("--fresh", action="store_true", help="forget the rows that are there")
    parser.add_argument("--again", nargs="+", default=(), metavar="PEER", help="forget the rows of some")
    given = parser.parse_args()
    results = Results(NAME, given.fresh, given.again)
    for name, peer, seed in itertools.product(given.oracle, given.peers, range(given.seeds)):
        oracle = open_oracle(name, given.reference)
        row = results.row(partial(measure, oracle, peer, seed), oracle=name, peer=peer, seed=seed)
        print(f"{name} {peer} seed {seed}: {row['hypervolume'][-1]:.4f} after {row['calls'][-1]}", flush=True)
    print("\n".join(table(results.rows, given.oracle)))
    draw(results.rows, given.oracle, PICTURE)


def measure(oracle: Oracle, peer: str, seed: int) -> Row:
    """Hypervolumes, as shares of the oracle's box, after so many calls."""

    def one_at_a_time(codes: peers.Codes) -> peers.Floats:
        return np.concatenate([oracle.predict(codes[[i]]) for i in range(len(codes))])

    made = peers.trajectory(peers.PEERS[peer], oracle.both(), one_at_a_time, CALLS[peer], seed)
    costs = oracle.cost.batch(made.codes)
    calls = [n for n in CHECKPOINTS if n <= len(made.codes)]
    return {"calls": calls, "hypervolume": [hypervolume(made.top1[:n], costs[:n], oracle.box) for n in calls]}


def curves(rows: Iterable[Row], oracle: str) -> dict[str, dict[int, list[float]]]:
    """Peer -> calls -> hypervolumes of its seeds."""
    found: dict[str, dict[int, list[float]]] = {}
    for row in rows:
        if row["oracle"] == oracle:
            mine = found.setdefault(row["peer"], {})
            for calls, share in zip(row["calls"], row["hypervolume"], strict=True):
                mine.setdefault(calls, []).append(share)
    return found


def target(mine: Mapping[str, Mapping[int, Sequence[float]]]) -> tuple[str, float] | None:
    """The better rival and its median hypervolume after MANY calls."""
    known = {peer: statistics.median(mine[peer][MANY]) for peer in RIVALS if MANY in mine.get(peer, {})}
    return max(known.items(), key=lambda item: item[1]) if known else None


def needed(mine: Mapping[int, Sequence[float]], share: float) -> int | None:
    """The first checkpoint at which the median is no less than ``share``."""
    return next((calls for calls, shares in sorted(mine.items()) if statistics.median(shares) >= share), None)


HEADS = ("oracle", "best NSGA-II", f"after {MANY:,}", f"guided after {ENOUGH}", "guided needs", "held")


def lines_of(rows: Iterable[Row], oracles: Sequence[str]) -> list[tuple[str, ...]]:
    """A line an oracle: medians with ranges."""
    rows, lines = list(rows), []
    for oracle in oracles:
        mine = curves(rows, oracle)
        best, ours = target(mine), mine.get(OURS, {})
        if best is None or ENOUGH not in ours:
            continue
        peer, share = best
        first = needed(ours, share)
        held = "yes" if first is not None and first <= ENOUGH else "**no**"
        said = f"{first} calls" if first is not None else f"more than {max(ours)}"
        lines.append((
            oracle, peer, spread(mine[peer][MANY], ".4f"), spread(ours[ENOUGH], ".4f"), said, held,
        ))  # fmt: skip
    return lines


def table(rows: Iterable[Row], oracles: Sequence[str]) -> list[str]:
    lines = [HEADS, *lines_of(rows, oracles)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]


def draw(rows: Iterable[Row], oracles: Sequence[str], path: Path) -> None:
    """Medians over seeds against calls, with bands from the least to the greatest."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = list(rows)
    figure, axes = pyplot.subplots(2, 2, figsize=(10, 7), layout="constrained", squeeze=False)
    for axis, oracle in zip(axes.flat, oracles, strict=False):
        mine = curves(rows, oracle)
        for colour, peer in enumerate(CALLS):
            if peer not in mine:
                continue
            calls = sorted(mine[peer])
            middle = [statistics.median(mine[peer][n]) for n in calls]
            least, most = ([choose(mine[peer][n]) for n in calls] for choose in (min, max))
            axis.plot(calls, middle, color=f"C{colour}", label=peer, lw=2.5 if peer == OURS else 1.2)
            axis.fill_between(calls, least, most, color=f"C{colour}", alpha=0.18, lw=0)
        if (best := target(mine)) is not None:
            axis.axhline(best[1], color="0.4", lw=0.8, ls=":")
        axis.axvline(ENOUGH, color="0.4", lw=0.8, ls=":")
        axis.set(
            title=oracle, xscale="log", xlabel="calls of the oracle", ylabel="hypervolume (share of the box)"
        )
    axes.flat[0].legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
