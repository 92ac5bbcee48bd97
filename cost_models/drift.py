"""When the machine itself became slower: told by a reference net that is measured again and again.

A round's *level* is the median of its readings of the reference. Rounds whose level is far from the quiet one
are discarded, all subnets of them: another program ran, or the processor was throttled. In the rounds that are
kept, every time is divided by how much slower its round was, so that a slow drift (a machine that warms up) does
not tell against the subnets that came late. Nothing of that touches the raw times, which can be reduced anew.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from cost_models.measurements import MeasuredLayers, MeasuredSubnet, Measurements
from cost_models.timing import LatencyMeasurement, of_rounds

TOLERANCE = 0.10
"""How far a round's level may be from the quiet one, as a fraction of it."""
QUIET_SHARE = 1 / 3
"""Of the rounds, the fastest, whose median level is the quiet one: neither a lucky round nor a busy hour sets it."""
LEAST_ROUNDS = 3
"""Kept in any case, the fastest. Those beyond the tolerance stay as they are: their spread tells how busy it was."""


def quiet_latencies(measured: Measurements) -> list[LatencyMeasurement]:
    """Each subnet's latency over the rounds that are kept, corrected for drift, in the order of the subnets."""
    return list(map(of_rounds, quiet_rounds(measured, measured.subnets)))


def quiet_rounds(
    measured: Measurements, nets: Iterable[MeasuredSubnet | MeasuredLayers]
) -> list[list[float]]:
    """The medians of the rounds that are kept, corrected for drift, of each of the subnets or layers."""
    speeds = slowness(measured.reference.rounds_ms)
    kept = {i: speeds[i] if near(speeds[i]) else 1.0 for i in kept_rounds(measured.reference.rounds_ms)}
    return [[net.rounds_ms[i] / slow for i, slow in kept.items()] for net in nets]


def slowness(reference_ms: Sequence[Sequence[float]]) -> list[float]:
    """How much slower than the quiet level each round was: 1 where it was as quiet."""
    levels = [statistics.median(readings) for readings in reference_ms]
    fastest = sorted(levels)[: max(1, round(len(levels) * QUIET_SHARE))]
    level = statistics.median(fastest)
    return [found / level for found in levels]


def near(slow: float) -> bool:
    """Whether a round was about as fast as the quiet ones."""
    return abs(slow - 1) <= TOLERANCE


def kept_rounds(reference_ms: Sequence[Sequence[float]]) -> list[int]:
    """The rounds that are within the tolerance, in their order; at least ``LEAST_ROUNDS`` where there are so many."""
    speeds = slowness(reference_ms)
    kept = [i for i, slow in enumerate(speeds) if near(slow)]
    if len(kept) < LEAST_ROUNDS:
        kept = sorted(sorted(range(len(speeds)), key=speeds.__getitem__)[:LEAST_ROUNDS])
    return kept


def drift_percent(measured: Measurements) -> float:
    """How much slower than the fastest the slowest round was, by the reference, before anything was discarded."""
    speeds = slowness(measured.reference.rounds_ms)
    return 100 * (max(speeds) / min(speeds) - 1)
