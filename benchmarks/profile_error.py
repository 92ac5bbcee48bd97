"""How well few measured subnets tell the latency of all others, and how often bounds on latency hold.

python benchmarks/profile_error.py FILE [--note10 FOLDER] [--quick] [--out FOLDER]

FILE is a CSV of measured subnets in the format of HELP's ``latency_ms_gpu.csv`` (arXiv 2106.08630); FOLDER holds the
layer tables of a Note10, whose sums are one more device. Three tables as Markdown, and a picture in the --out folder:
errors on the rows that were not fitted to against the number of samples, errors with prices of other columns, and
in which share of cases the 95 % bound held: of all unseen subnets, and of those that searches choose.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cost_models.csv_device import Errors, errors_of
from cost_models.device import Device
from cost_models.devices import import_device
from cost_models.feature_sums import feature_sums
from cost_models.fit_design import choose_rows
from cost_models.latency import latency_ms
from cost_models.latency_bound import upper_quantile
from cost_models.latency_csv import read_latency_csv
from cost_models.latency_fit import LOOSE, groups, roofline_paths
from cost_models.protocol import Target
from cost_models.robust_prices import Sums, fit_prices, non_negative, validated
from supernet.archs.space import Codes
from supernet.arrays import Floats
from supernet.families.catalog import Supernet, open_supernet

SUPERNET = "ofa_mbv3_w1.2"
SIZES = (10, 20, 30, 50, 100, 300, 1000)
CONFIDENCE = 0.95
COVERED_AT = {10: 20, 30: 20, 100: 10}
"""Fits whose bounds are checked, by number of samples."""
POOLS, POOL = 200, 200
"""Choices that are made by each fit, each among so many unseen subnets."""
TABLE_ROWS = 2000

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Data:
    """Measured ``times`` by column, shape (rows,), of archs with ``codes``."""

    supernet: Supernet
    codes: Codes
    times: dict[str, Floats]

    @cached_property
    def names(self) -> tuple[str, ...]:
        return feature_sums(self.supernet).names

    @cached_property
    def amounts(self) -> Floats:
        return np.column_stack([np.ones(len(self.codes)), feature_sums(self.supernet).of(self.codes)])

    @cached_property
    def lent(self) -> dict[str, Floats]:
        """Prices of each column from all its rows."""
        return {name: fit_prices(self.sums(name), LOOSE).prices for name in self.times}

    def sums(self, column: str, rows: Rows | None = None, like: Sequence[str] = ()) -> Sums:
        chosen = np.arange(len(self.codes)) if rows is None else rows
        paths = np.column_stack([roofline_paths(self.names), *(self.lent[name] for name in like)])
        return Sums(self.amounts[chosen], self.times[column][chosen], paths, 4, groups(self.names))

    def error(self, column: str, prices: Floats, seen: Rows) -> Errors:
        rows = np.setdiff1d(np.arange(len(self.codes)), seen)
        return errors_of(self.amounts[rows] @ prices, self.times[column][rows])


# -- ways to fit ---------------------------------------------------------------------------


def designed(data: Data, samples: int, seed: int) -> Rows:
    return np.array(choose_rows(data.supernet, data.codes, samples, np.random.default_rng(seed)))


def at_random(data: Data, samples: int, seed: int) -> Rows:
    return np.random.default_rng(seed).permutation(len(data.codes))[:samples]


def robust(data: Data, column: str, rows: Rows) -> Floats:
    return validated(data.sums(column, rows)).fitted.prices


def with_others(data: Data, column: str, rows: Rows) -> Floats:
    others = [name for name in data.times if name != column]
    return validated(data.sums(column, rows, others)).fitted.prices


def least_squares(data: Data, column: str, rows: Rows) -> Floats:
    """Non-negative least squares of relative errors: neither robust nor with a prior."""
    sums = data.sums(column, rows)
    return non_negative(sums.amounts / sums.times[:, None], np.ones(len(rows)))


WAYS: dict[str, tuple[Callable[[Data, int, int], Rows], Callable[[Data, str, Rows], Floats]]] = {
    "designed, robust": (designed, robust),
    "random, robust": (at_random, robust),
    "random, least squares": (at_random, least_squares),
    "designed, robust, --like all": (designed, with_others),
}


def curve(data: Data, column: str, way: str, sizes: Sequence[int], seeds: int) -> dict[int, list[Errors]]:
    choose, fit = WAYS[way]
    found: dict[int, list[Errors]] = {}
    for samples in sizes:
        fits = seeds if samples < 300 else 1
        rows = [choose(data, samples, seed) for seed in range(fits)]
        found[samples] = [data.error(column, fit(data, column, chosen), chosen) for chosen in rows]
    return found


# -- coverage ------------------------------------------------------------------------------


def coverage(data: Data, column: str, samples: int, fits: int) -> dict[str, float]:
    """Shares of cases in which the bound held, and by which factor it is above the estimate, the median."""
    held: dict[str, list[float]] = {}
    factors = []
    for seed in range(fits):
        rows = designed(data, samples, seed)
        found = validated(data.sums(column, rows))
        factor = math.exp(max(0.0, upper_quantile(list(found.log_ratios), CONFIDENCE)[0]))
        factors.append(factor)
        unseen = np.setdiff1d(np.arange(len(data.codes)), rows)
        bound = factor * (data.amounts[unseen] @ found.fitted.prices)
        held.setdefault("unseen", []).append(float(np.mean(data.times[column][unseen] <= bound)))
        for name, accuracy in accuracies(data, column, unseen, seed).items():
            held.setdefault(name, []).extend(chosen_held(data.times[column][unseen], bound, accuracy, seed))
    return {name: statistics.mean(values) for name, values in held.items()} | {
        "factor": statistics.median(factors)
    }


def accuracies(data: Data, column: str, rows: Rows, seed: int) -> dict[str, Floats]:
    """Made-up accuracies (rows,): by chance, by multiply-adds, and by what really takes long: a search that finds the model's faults."""
    work = data.amounts[:, [i + 1 for i, name in enumerate(data.names) if ".work" in name]].sum(axis=1)
    noise = np.random.default_rng(seed).normal(0, 0.1, len(rows))
    return {
        "by chance": noise,
        "by work": np.log(work[rows]) + noise,
        "by time": data.amounts[rows] @ data.lent[column],
    }


def chosen_held(measured: Floats, bound: Floats, accuracy: Floats, seed: int) -> list[float]:
    """For many pools and budgets, whether the most accurate subnet whose bound is within holds it when measured."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(POOLS):
        pool = rng.permutation(len(measured))[:POOL]
        budget = float(np.quantile(bound[pool], rng.uniform(0.1, 0.9)))
        within = pool[bound[pool] <= budget]
        found.append(float(measured[within[accuracy[within].argmax()]] <= budget))
    return found


# -- what is printed -------------------------------------------------------------------------


def mean(errors: Sequence[Errors], name: str) -> float:
    return statistics.mean(getattr(error, name) for error in errors)


def figures(errors: Sequence[Errors]) -> str:
    return f"{100 * mean(errors, 'within_10_percent'):.1f} / {mean(errors, 'median_percent'):.1f} / {mean(errors, 'spearman'):.3f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def note10(folder: Path, data: Data) -> Data:
    """The sums of a phone's layer tables for archs at their resolutions, as one more column."""
    device: Device = import_device("note10", folder, data.supernet, "note10")
    assert device.table is not None
    part = data.supernet.restricted({"resolution": device.table.resolutions})
    sample = part.space.sample(TABLE_ROWS, np.random.default_rng(0))
    times = latency_ms(Target(part, device)).batch(sample)
    codes = data.supernet.space.encode(part.space.decode(sample))
    return Data(data.supernet, codes, {"note10 table": times})


def draw(curves: dict[str, dict[str, dict[int, list[Errors]]]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    columns = list(curves)
    fig, axes = plt.subplots(2, math.ceil(len(columns) / 2), figsize=(16, 6), sharex=True)
    for axis, column in zip(axes.flat, columns, strict=False):
        for way, line in curves[column].items():
            shares = [100 * (1 - mean(errors, "within_10_percent")) for errors in line.values()]
            axis.plot(list(line), shares, marker=".", label=way)
        axis.set(title=column, xscale="log", ylim=(0, None))
    for axis in axes[:, 0]:
        axis.set_ylabel("off by over 10 % (%)")
    for axis in axes[-1]:
        axis.set_xlabel("measured subnets")
    for axis in list(axes.flat)[len(columns) :]:
        axis.remove()
    axes.flat[0].legend(fontsize=7)
    fig.tight_layout()
    fig.savefig(path, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--note10", type=Path)
    parser.add_argument("--quick", action="store_true", help="fewer sizes, fits and seeds")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    given = parser.parse_args()
    start = time.process_time()
    supernet = open_supernet(SUPERNET)
    rows = read_latency_csv(given.file, supernet)
    data = Data(supernet, supernet.space.encode(list(rows.archs)), {n: rows.column(n) for n in rows.names})
    sources = [data] + ([note10(given.note10, data)] if given.note10 else [])
    sizes, seeds = ((10, 30), 2) if given.quick else (SIZES, 4)
    curves: dict[str, dict[str, dict[int, list[Errors]]]] = {}
    for source in sources:
        for column in source.times:
            print(f"curves of {column}", file=sys.stderr, flush=True)
            ways = dict.fromkeys(list(WAYS)[:3], sizes)
            if len(source.times) > 1:
                ways["designed, robust, --like all"] = tuple(size for size in sizes if size <= 100)
            curves[column] = {way: curve(source, column, way, at, seeds) for way, at in ways.items()}
    print("Within 10 % (%) / median error (%) / Spearman, on all other subnets\n")
    for way in WAYS:
        lines = [[c, *map(figures, found[way].values())] for c, found in curves.items() if way in found]
        used = next(found[way] for found in curves.values() if way in found)
        print(f"{way}\n\n{table(['column', *map(str, used)], lines)}\n")
    everything = [[c, figures([errors_of(data.amounts @ data.lent[c], data.times[c])])] for c in data.times]
    print(f"fitted to all rows, and told on the same\n\n{table(['column', 'all rows'], everything)}\n")
    covered = []
    for source in sources:
        for column in source.times:
            for samples, fits in COVERED_AT.items():
                print(f"coverage of {column} at {samples}", file=sys.stderr, flush=True)
                found = coverage(source, column, samples, 3 if given.quick else fits)
                shares = [
                    f"{100 * found[name]:.1f}" for name in ("unseen", "by chance", "by work", "by time")
                ]
                covered.append([column, str(samples), *shares, f"{found['factor']:.3f}"])
    head = ["column", "samples", "all unseen", "chosen by chance", "by work", "by time", "bound / estimate"]
    print(f"Share (%) of cases within the 95 % bound\n\n{table(head, covered)}\n")
    given.out.mkdir(parents=True, exist_ok=True)
    draw(curves, given.out / "profile-error.png")
    print(f"{time.process_time() - start:.0f} CPU seconds", file=sys.stderr)


if __name__ == "__main__":
    main()
