"""The time of one call: a warm-up, a slice of runs, their median; and what rounds of that say of a subnet."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WARM_UP_RUNS = 10
"""Runs, at most, before the first timed one of a subnet in a round: caches and branch predictors."""
SLICE_S = 0.015
"""Seconds that a subnet is timed for in one round."""
ROUNDS = 12
BUSY_PERCENT = 10.0
"""Spread of rounds above which a machine is busy: its times say nothing of a subnet, and a fit to them is not kept."""

Call = Callable[[], object]
Clock = Callable[[], float]


@dataclass(frozen=True)
class LatencyMeasurement:
    """Milliseconds of one inference: each round gives a median; these are their median, least and greatest.

    The median is what a latency model is fitted to, and what a budget is held against: of rounds that are corrected by
    a reference (:mod:`cost_models.drift`) the least is that whose reference was slow by chance, 2 % too low.
    """

    median_ms: float
    low_ms: float
    high_ms: float
    rounds: int

    @property
    def spread(self) -> float:
        """By which fraction the median round is slower than the quietest: near 0 on a quiet machine."""
        return self.median_ms / self.low_ms - 1

    @property
    def busy(self) -> bool:
        """Whether other programs slowed the rounds down so much that their median is no verdict on the subnet."""
        return 100 * self.spread > BUSY_PERCENT


def of_rounds(medians_ms: Sequence[float]) -> LatencyMeasurement:
    """What the medians of a subnet's rounds say of it."""
    return LatencyMeasurement(
        statistics.median(medians_ms), min(medians_ms), max(medians_ms), len(medians_ms)
    )


def measure_in_turns(
    runners: Sequence[Call], rounds: int, slice_s: float = SLICE_S, clock: Clock = time.perf_counter
) -> list[LatencyMeasurement]:
    """Time each runner for ``slice_s`` in every round, all of them before the next round begins."""
    medians: list[list[float]] = [[] for _ in runners]
    for _ in range(rounds):
        for run, seen in zip(runners, medians, strict=True):
            seen.append(median_ms(run, slice_s, clock))
    return [of_rounds(seen) for seen in medians]


def median_ms(run: Call, slice_s: float, clock: Clock) -> float:
    """Median milliseconds of ``run`` over ``slice_s`` seconds, after a warm-up; at least one run."""
    warm_up(run, slice_s, clock)
    times = []
    end = clock() + slice_s
    while True:
        start = clock()
        run()
        stop = clock()
        times.append(stop - start)
        if stop >= end:
            return statistics.median(times) * 1e3


def warm_up(run: Call, slice_s: float, clock: Clock) -> None:
    """``WARM_UP_RUNS`` runs, or fewer of a subnet that is warm and slow: they take ``slice_s`` at most, or one."""
    end = clock() + slice_s
    for _ in range(WARM_UP_RUNS):
        run()
        if clock() >= end:
            return
