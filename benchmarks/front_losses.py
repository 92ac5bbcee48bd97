"""Where `guided` loses against the best known front where each accuracy is dear, and what its surrogate believes there.

    python benchmarks/front_losses.py [--oracle NAME] [--seeds N] [--calls N]

Bands are of cost, each with as many members of the best known front but the last, which is where that front
no longer rises. Figures are means over seeds:

    lost       hypervolume below the best known front, in thousandths of the oracle's box
    gap        mean distance to that front (points of top-1)
    asked      of the calls, those in the band
    told       of the archs that the surrogate is fitted to in the end, those in the band
    promised   mean rise over the accuracy known at the arch's cost that the surrogate expected of what was asked
    came       what it was (both in points, where the surrogate led; at least 0)
    bias       of the surrogate in the end, on the best known front (points)
    rank       its rank correlation there, net of cost

Then, for each kind of choice, single changes of the best known front's members: the correlation of what
the surrogate expects them to do with what they do, and the root mean squares of both (points).
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import peers
from oracles import ORACLES, REFERENCE, Oracle, hypervolume, open_oracle
from scipy.stats import spearmanr

from search.feasible.neighbours import distinct, neighbours, single_changes
from search.problem.problem import Problem
from search.proposing.acquisition import front, reached
from search.proposing.guided import described, most_telling, telling_features
from search.proposing.history import Known
from search.proposing.predictor_search import search_directly
from search.proposing.surrogate import Surrogate, fit_surrogate
from supernet.archs.space import Codes
from supernet.arrays import Floats

BANDS = 5
"""Bands of the part of the front that rises."""

LEAST_RISE = 1e-4
"""Top-1 below the front's best from which on it no longer rises: a hundredth of a point."""

STARTUP, STEP = 12, 8
"""Calls before the surrogate leads, and calls after which it is fitted anew here."""

POLISHED = 3
"""How often the neighbours of the whole front are looked at after the search for it."""

SAMPLED = 12
"""Of the members of the best known front, each so many-th has its changes looked at."""

HEADS = ("cost", "lost", "gap", "asked", "told", "promised", "came", "bias", "rank")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--oracle", default="resnet50-macs", choices=list(ORACLES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--reference", type=Path, default=REFERENCE)
    given = parser.parse_args()
    oracle = open_oracle(given.oracle, given.reference)
    best = best_known(oracle)
    edges = bands(best)
    runs = [asked(oracle, given.calls, seed) for seed in range(given.seeds)]
    shares = [hypervolume(run.accuracy, run.totals[:, 0], oracle.box) for run in runs]
    print(f"{oracle.name}: hypervolume {np.median(shares):.4f} after {given.calls} calls, median of {len(runs)} seeds; "
          f"best known {hypervolume(best.accuracy, best.totals[:, 0], oracle.box):.4f}")  # fmt: skip
    print("  ".join(head.rjust(9) for head in HEADS))
    table = np.mean([losses(oracle, run, best, edges) for run in runs], axis=0)
    for upper, line in zip(edges[1:], table, strict=True):
        print("  ".join([f"{upper:9.3g}", *(f"{figure:9.3f}" for figure in line)]))
    print("\nkind         changes  correlation   expected     true")
    for kind, line in effects(oracle, runs, best).items():
        print(f"{kind:12}" + "  ".join(f"{figure:9.3f}" for figure in line))


def asked(oracle: Oracle, calls: int, seed: int) -> Known:
    """The archs that ``guided`` asks about, in order."""
    made = peers.trajectory(peers.PEERS["guided"], oracle.both(), oracle.predict, calls, seed)
    return known(oracle, made.codes)


def known(oracle: Oracle, codes: Codes) -> Known:
    return Known(
        codes, oracle.predict(codes), oracle.both().totals(codes), np.arange(len(codes)), np.ones(len(codes))
    )


def best_known(oracle: Oracle) -> Known:
    """The front of a long search with all of the oracle's accuracies, from cheap to dear."""
    codes = search_directly(oracle.both(), oracle.predict, 1000, 0, slope=oracle.slope).codes
    for _ in range(POLISHED):
        found = known(oracle, distinct(np.concatenate([codes, neighbours(oracle.space, codes)])))
        codes = found.codes[front(found.accuracy, found.totals)]
    return known(oracle, codes[::-1])


def bands(best: Known) -> Floats:
    """Edges of cost, shape (BANDS + 2,): from below the cheapest to above the dearest that there is."""
    rising = best.totals[best.accuracy < best.accuracy.max() - LEAST_RISE, 0]
    return np.concatenate([[0.0], np.quantile(rising, np.linspace(0, 1, BANDS + 1)[1:]), [np.inf]])


@dataclass(frozen=True)
class Believed:
    """A surrogate as ``guided`` has it, of what is known."""

    problem: Problem
    surrogate: Surrogate
    told: Known

    def __call__(self, archs: Known) -> Floats:
        """Accuracies that it expects, shape (n,)."""
        return self.surrogate.predict(described(self.problem, archs.codes, archs.totals))[0]


def believed(problem: Problem, archs: Known) -> Believed:
    told = archs[most_telling(archs, problem)]
    rows = described(problem, told.codes, told.totals)
    return Believed(problem, fit_surrogate(rows, told.accuracy, telling_features(problem)), told)


def losses(oracle: Oracle, run: Known, best: Known, edges: Floats) -> Floats:
    """The table's figures of one run, shape (bands, len(HEADS) - 1)."""
    problem = oracle.both()
    belief = believed(problem, run)
    promised, came = promises(problem, run)
    error, lines = 100 * (belief(best) - best.accuracy), []
    for lower, upper in itertools.pairwise(edges):
        low, high = max(lower, oracle.box.cheapest), min(upper, oracle.box.dearest)
        gap = mean_reached(best, low, high) - mean_reached(run, low, high)
        share = gap * (high - low) / (oracle.box.dearest - oracle.box.cheapest)
        mine, told, there = (between(archs, lower, upper) for archs in (run, belief.told, best))
        members = best[np.flatnonzero(there)]
        led = mine & (np.arange(len(run)) >= STARTUP)
        lines.append([
            1000 * share / (oracle.box.ceiling - oracle.box.floor), 100 * gap, mine.sum(), told.sum(),
            mean(promised[led]), mean(came[led]), mean(error[there]),
            net_of_cost(belief(members), members),
        ])  # fmt: skip
    return np.array(lines, dtype=np.float64)


def promises(problem: Problem, run: Known) -> tuple[Floats, Floats]:
    """Rise over the accuracy known at the cost of each call, as expected and as it came, in points, shape (n,)."""
    promised, came = np.zeros(len(run)), np.zeros(len(run))
    for n in range(STARTUP, len(run), STEP):
        before, after = run[:n], run[n : n + STEP]
        known_there = reached(before.accuracy, before.totals, after.totals)
        promised[n : n + STEP] = 100 * np.maximum(believed(problem, before)(after) - known_there, 0)
        came[n : n + STEP] = 100 * np.maximum(after.accuracy - known_there, 0)
    return promised, came


def between(archs: Known, lower: float, upper: float) -> npt.NDArray[np.bool_]:
    return np.asarray((archs.totals[:, 0] > lower) & (archs.totals[:, 0] <= upper))


def mean_reached(archs: Known, low: float, high: float) -> float:
    """Mean over costs from ``low`` to ``high`` of the best accuracy known at no more."""
    at = np.linspace(low, high, 4001)[1:, None]
    return float(reached(archs.accuracy, archs.totals, at).mean())


def mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else 0.0


def net_of_cost(expected: Floats, archs: Known) -> float:
    """Rank correlation of what is left of both when a parabola in log cost is taken away."""
    curve = np.vander(np.log(archs.totals[:, 0]), 3)
    left = [values - curve @ np.linalg.lstsq(curve, values)[0] for values in (expected, archs.accuracy)]
    return float(spearmanr(*left).statistic)


def effects(oracle: Oracle, runs: Sequence[Known], best: Known) -> dict[str, list[float]]:
    """Kind of choice -> how many changes were looked at, correlation, root mean squares, over all runs."""
    members = best[np.arange(0, len(best), SAMPLED)]
    codes, owner, dimensions, _ = single_changes(oracle.space, members.codes)
    changed = known(oracle, codes)
    kinds = np.array([d.name.partition(".")[0] for d in oracle.space.dimensions])[dimensions]
    true = 100 * (changed.accuracy - members.accuracy[owner])
    expected = []
    for run in runs:
        belief = believed(oracle.both(), run)
        expected.append(100 * (belief(changed) - belief(members)[owner]))
    found = {}
    for kind in dict.fromkeys(kinds.tolist()):
        mine = kinds == kind
        said, is_so = np.concatenate([of[mine] for of in expected]), np.tile(true[mine], len(runs))
        found[kind] = [float(mine.sum()), float(np.corrcoef(said, is_so)[0, 1]), rms(said), rms(is_so)]
    return found


def rms(values: Floats) -> float:
    return float(np.sqrt((values**2).mean()))


if __name__ == "__main__":
    main()
