"""Whether a run is worse than the base beyond a margin: for continuous integration, which wants a yes or a no."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cost_models.registry import OF_A_DEVICE
from search.problem.confidence import LATENCY
from search.problem.objectives import ACCURACIES
from search.reports.comparing.significance import CHOSEN, HYPERVOLUME, Side
from search.reports.comparing.verdict_words import difference_told, sentence, significance_advice
from search.reports.units import heading, scaled
from search.runs.results import verified_among
from supernet.errors import InputError

if TYPE_CHECKING:
    from cost_models.timing import LatencyMeasurement
    from search.reports.comparing.compare import Compared, Comparison

WORSE = 3
"""The exit code where a run is worse; wrong input is 2."""


@dataclass(frozen=True)
class Judged:
    """One side against the base by a metric: whether it is worse beyond the margin, and a sentence that says so."""

    new: str
    worse: bool
    told: str


def judged_sides(comparison: Comparison, metric: str | None, margin: float) -> list[Judged]:
    """Every side but the base, by ``top1`` or ``top5``, ``hypervolume``, or a cost of the chosen subnet.

    ``margin`` is in the unit in which the metric is shown: points, shares of the box, ms. Worse by it is only what is so with
    the whole 95 % interval. Raises InputError for a metric that cannot be compared, and for a margin below 0.
    """
    if not 0 <= margin < math.inf:
        raise InputError(f"--margin {margin:g} must be 0 or more, and finite: how much worse may be let pass")
    name = metric or comparison.axes[0].name
    costs = [
        cost for cost in comparison.runs[0].run.costs if all(cost in one.run.costs for one in comparison.runs)
    ]
    if name in (HYPERVOLUME, comparison.axes[0].name):
        return by_images(comparison, name, margin)
    if name not in costs:
        of = comparison.axes[0].name
        asked = f"these runs are compared by {of}" if name in ACCURACIES else "not every run records it"
        raise InputError(
            f"--metric {name}: {asked}; give {of}, {HYPERVOLUME} or a cost of both: {', '.join(costs)}"
        )
    devices = {one.run.identity["device"] for one in comparison.runs}
    if name in OF_A_DEVICE and len(devices) > 1:
        raise InputError(
            f"--metric {name}: the runs are for different devices or fits of one; give another metric"
        )
    base, *others = comparison.significance.sides
    return [by_cost(comparison, base, side, name, margin) for side in others]


def by_images(comparison: Comparison, name: str, margin: float) -> list[Judged]:
    """By verdicts, which are of the report images."""
    about, factor = (HYPERVOLUME, 1) if name == HYPERVOLUME else (CHOSEN, 100)
    verdicts = comparison.significance.about(about)
    folders = [str(one.run.folder) for one in comparison.runs]
    if not verdicts:
        why = significance_advice(comparison.significance, folders) or ["Costs are of different devices."]
        raise InputError(f"--fail-if-worse: {name} cannot be compared. {' '.join(why)}")
    made = []
    for verdict in verdicts:
        if verdict.difference is None:
            told = " ".join(significance_advice(comparison.significance, folders))
            raise InputError(f"--fail-if-worse: {name} cannot be compared: {verdict.missing}. {told}")
        worse = verdict.word == "worse" and factor * verdict.difference.high < -margin
        told = f"{name} {difference_told(verdict)}: {sentence(verdict)}"
        made.append(Judged(verdict.new, worse, told + beyond_margin(worse, verdict.word == "worse", margin)))
    return made


def beyond_margin(worse: bool, at_all: bool, margin: float) -> str:
    """What the margin makes of a verdict."""
    if not margin or not at_all:
        return ""
    return f" by more than {margin:g}" if worse else f", but perhaps by no more than {margin:g}"


def by_cost(comparison: Comparison, base: Side, side: Side, name: str, margin: float) -> Judged:
    """By a cost of the chosen subnets: latency as it was measured where all were timed on their device, else as predicted."""
    members = [[comparison.runs[i] for i in one.runs] for one in (base, side)]
    timed = [[verified_latency(one) for one in some] for some in members] if name == LATENCY else [[None]]
    if all(one is not None for some in timed for one in some):
        known = [[one for one in some if one is not None] for some in timed]
        before, after = (float(np.mean([one.median_ms for one in some])) for some in known)
        # the quietest round of the one against the slowest of the other
        least = float(np.mean([one.low_ms for one in known[1]]) - np.mean([one.high_ms for one in known[0]]))
        how, worse = "measured", least > margin
    else:
        before, after = (float(np.mean([one.chosen.value(name) for one in some])) for some in members)
        how, worse = "predicted", scaled(name, after - before) > margin
    word = "worse" if worse else "not worse"
    by = f" by more than {margin:g}" if margin else ""
    figures = f"{scaled(name, before):.4g} before, {scaled(name, after):.4g} now"
    return Judged(side.label, worse, f"{heading(name)}, {how}: {figures}: {word}{by}")


def verified_latency(one: Compared) -> LatencyMeasurement | None:
    """What the chosen subnet was measured with on its device, if it was."""
    verified = verified_among(one.run, [one.chosen])
    return verified.latency_of(one.chosen) if verified is not None else None
