"""Power figures from a meter: the energy of whole subnets, fitted to what an inference takes energy for.

    energy = static power x latency + energy per multiply-add x macs + energy per byte x bytes moved

with non-negative figures that minimise relative errors (Lawson & Hanson, 1974), as latencies are fitted. Static power
is then all that the meter shows while one inference runs, the idle machine included. The range of a figure holds
ninety in a hundred fits to subnets drawn anew (Efron's bootstrap); where two of them always come together, one may
carry the energy of both, and its range says so.

Notation, for ``n`` subnets:

=============  =======  ===============================================================================
``amounts``    (n, 3)   milliseconds, and multiply-adds and bytes x 1e-9, so that prices x these are mJ
``energies``   (n,)     millijoules of one inference, as the meter had them
``prices``     (3,)     ``static_w`` in W, which is mJ a ms, ``pj_per_mac`` and ``pj_per_byte``
``again``      (r, 3)   the prices of ``r`` resamples of the rows
=============  =======  ===============================================================================
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cost_models.device import Power, PowerFit
from cost_models.energy import MJ_PER_PJ, Work, work_of
from cost_models.measuring import Bar, Step
from cost_models.meters import Meter
from cost_models.plain_prices import PLAIN_FOLDS, held_out_errors, solve
from cost_models.ranges import Range
from supernet.archs.arch import Arch
from supernet.arrays import Floats
from supernet.errors import InputError
from supernet.families.catalog import Supernet

FIGURES = ("static_w", "pj_per_mac", "pj_per_byte")
LEAST_SUBNETS = 8
RESAMPLES, SEED = 200, 0
LOW, HIGH = 5, 95
"""Percentiles of the fits to subnets drawn anew."""
DIGITS = 4
ROUNDS, SLICE_S = 5, 0.5
"""How often each subnet is metered and how long: a counter of RAPL moves every millisecond."""


@dataclass(frozen=True)
class MeteredEnergy:
    """One subnet while it ran: milliseconds and millijoules of an inference, medians of its rounds, and the least."""

    latency_ms: float
    energy_mj: float
    least_mj: float

    @property
    def spread(self) -> float:
        """By which fraction the median round took more than the least."""
        return self.energy_mj / self.least_mj - 1


def meter_in_turns(
    runners: Sequence[Callable[[], object]],
    meter: Meter,
    step: Step = lambda *_: None,
    rounds: int = ROUNDS,
    slice_s: float = SLICE_S,
    clock: Callable[[], float] = time.perf_counter,
) -> list[MeteredEnergy]:
    """Run each for ``slice_s`` in every round, all of them before the next round begins, and read the meter around it."""
    seen: list[list[tuple[float, float]]] = [[] for _ in runners]
    for done in range(1, rounds + 1):
        for run, mine in zip(runners, seen, strict=True):
            run()  # warm: the one before left its data in the caches
            mine.append(metered(run, meter, slice_s, clock))
        step(done, rounds, "")
    return [
        MeteredEnergy(
            statistics.median(ms for ms, _ in mine),
            statistics.median(mj for _, mj in mine),
            min(mj for _, mj in mine),
        )
        for mine in seen
    ]


def metered(
    run: Callable[[], object], meter: Meter, slice_s: float, clock: Callable[[], float]
) -> tuple[float, float]:
    """Milliseconds and millijoules of one run, over ``slice_s`` seconds of them; at least one."""
    # read once around many runs: one takes less time than the counter needs to move
    before, start = meter.read(), clock()
    count, stop = 0, start
    while not count or stop - start < slice_s:
        run()
        count += 1
        stop = clock()
    return 1e3 * (stop - start) / count, meter.between(before, meter.read()) / count


def measured_power(
    supernet: Supernet,
    archs: Sequence[Arch],
    runners: Sequence[Callable[[], object]],
    meter: Meter,
    bar: Bar,
    today: str,
) -> Power:
    """The power figures of a meter of this machine. ``runners`` run the subnets ``archs`` of ``supernet`` once each.

    Raises InputError for too few, and where the meter did not move.
    """
    with bar(f"metering {len(archs)} subnets with {meter.name}, round") as step:
        seen = meter_in_turns(runners, meter, step)
    work = [work_of(m.latency_ms, supernet.layers(arch)) for m, arch in zip(seen, archs, strict=True)]
    return fit_power(work, seen, meter.name, today)


def fit_power(
    work: Sequence[Work], metered: Sequence[MeteredEnergy], meter: str, today: str, seed: int = SEED
) -> Power:
    """The power figures of measured subnets, with ranges and the error of each subnet by a fit to the others.

    ``work`` and ``metered`` are of the same subnets, in turn. Raises InputError for too few, and where the meter
    did not move.
    """
    if len(work) != len(metered) or len(work) < LEAST_SUBNETS:
        raise InputError(
            f"power figures are fitted to at least {LEAST_SUBNETS} subnets, got {len(work)} with {len(metered)} energies"
        )
    energies = np.array([m.energy_mj for m in metered])
    if still := sum(m.least_mj <= 0 for m in metered):
        raise InputError(
            f"the meter {meter} showed no energy for {still} of {len(energies)} subnets in some round; "
            "measure each for longer"
        )
    amounts = np.array(
        [[w.latency_ms, w.macs * MJ_PER_PJ, w.bytes_moved * MJ_PER_PJ] for w in work], dtype=np.float64
    )
    figures = dict(zip(FIGURES, figures_of(amounts, energies, np.random.default_rng(seed)), strict=True))
    # all of them are held out in turn: there are too few to set some aside
    places = np.arange(len(energies))
    errors = 100 * held_out_errors(amounts, energies, places, min(PLAIN_FOLDS, len(energies)))
    fitted = PowerFit(
        meter=meter, date=today, subnets=len(energies), error_percent=round(float(np.median(errors)), 2),
        worst_error_percent=round(float(errors.max()), 2),
        spread_percent=round(100 * statistics.median(m.spread for m in metered), 2),
    )  # fmt: skip
    return Power(
        **figures,
        source=f"fitted to {len(energies)} subnets, measured with {meter} on {today}",
        fitted=fitted,
    )


def figures_of(amounts: Floats, energies: Floats, rng: np.random.Generator) -> list[Range]:
    """The prices of the columns, and between which they are when the rows are drawn anew."""
    prices = solve(amounts, energies)
    # whole rows, work and energy together, so that no distribution of errors is assumed
    rows = rng.integers(len(energies), size=(RESAMPLES, len(energies)))
    again = np.array([solve(amounts[drawn], energies[drawn]) for drawn in rows])
    low, high = np.percentile(again, [LOW, HIGH], axis=0)
    # percentiles need not enclose the estimate, of a price at 0 for example, and a range does
    return [
        Range(
            low=rounded(min(float(a), float(p))),
            value=rounded(float(p)),
            high=rounded(max(float(b), float(p))),
        )
        for p, a, b in zip(prices, low, high, strict=True)
    ]


def rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
