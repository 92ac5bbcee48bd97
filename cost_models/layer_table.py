"""A latency table that is measured here: each distinct block and layer of a supernet as a network of its own.

The keys are those of OFA's tables (:mod:`cost_models.published_tables`), so that layers of one shape are one entry,
wherever they are in a network and at whatever resolution. What a layer takes alone is not what it takes in a network:
each call of a runtime is launched, maps come and go in another layout, and nothing is in a cache that a layer before
has left there. So a call that computes nothing is timed too, and taken off every entry, and a few whole subnets,
timed in the same rounds, tell what the sum of entries is worth: ``latency = intercept + factor * sum``.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from cost_models.device import LatencyTable, ResolutionTable, WholeFit
from cost_models.drift import quiet_latencies, quiet_rounds
from cost_models.fit_design import corners, fresh
from cost_models.latency_fit import SIGNIFICANT_DIGITS, rising_ratios
from cost_models.latency_tables import RESOLUTION, latency_cost, listed
from cost_models.measurements import Measurements
from cost_models.measuring import MOST_TIMES, LayersByKey, settings
from cost_models.published_tables import note10_key
from cost_models.robust_prices import Sums, validated
from cost_models.tables import layers_by_choice
from cost_models.timing import ROUNDS, SLICE_S, of_rounds
from supernet.archs.arch import Arch
from supernet.archs.layers import Layer, grouped
from supernet.errors import InputError
from supernet.families.catalog import Supernet

TABLE_FORMAT = "ofa"
FILE = "measured layers"
"""What stands in the place of a published file."""
WHOLE_SUBNETS, FEWEST_WHOLE = 10, 6
CORNERS = 4
"""Of the whole subnets: the smallest and the largest at the first and the last resolution; the others are random."""
LAUNCH = "launch"
EMPTY_CALL = (Layer(LAUNCH, "pool", 1, 1, 1, 1),)
"""The mean of one number: what a call takes that computes nothing."""
LEAST_SHARE_LEFT = 0.01
"""Of its own time, that an entry has at least once the launch was taken off."""
MOST_OFF_SHARE = 0.5
"""Of the least sum of the space, that the intercept may be below zero: no latency is."""
LONGEST_S = 300.0
"""Resolutions are left out by themselves where measuring would take longer."""
LOAD_S = 0.15
"""To build, convert and check one layer; a runtime that compiles each takes longer."""


@dataclass(frozen=True)
class LayerPlan:
    """What is measured: layers at the resolutions of ``supernet``, and whole subnets; the error is that of the ``tested``."""

    supernet: Supernet
    needed: Mapping[int, LayersByKey]
    archs: tuple[Arch, ...]
    tested: tuple[Arch, ...]

    @cached_property
    def layers(self) -> LayersByKey:
        """All distinct ones, and what computes nothing."""
        return {LAUNCH: EMPTY_CALL, **each_once(self.needed.values())}

    def told(self) -> str:
        """How much that is, for who waits."""
        count, seconds = len(self.layers) - 1, expected_s(len(self.layers) + len(self.archs))
        return (
            f"measuring {count} distinct layers and blocks of {self.supernet.name} at resolution "
            f"{listed(self.needed)}, and {len(self.archs)} whole subnets: about {seconds:.0f} s when the machine is "
            f"quiet, up to {MOST_TIMES} times that when it is not, longer where the runtime compiles"
        )

    def latency(self, measured: Measurements) -> LatencyTable:
        """The table of measured layers, with what the measured whole subnets make of its sums."""
        layers = measured.layers or ()
        rounds = dict(zip((layer.key for layer in layers), quiet_rounds(measured, layers), strict=True))
        launch_ms = of_rounds(rounds[LAUNCH]).median_ms
        plain = LatencyTable(
            supernet=self.supernet.name,
            fingerprint=self.supernet.fingerprint,
            format=TABLE_FORMAT,
            tables={
                resolution: ResolutionTable(
                    file=FILE, entries={key: entry(rounds[key], launch_ms) for key in needed}
                )
                for resolution, needed in self.needed.items()
            },
        )
        return plain.model_copy(update={"whole": whole_fit(plain, self, measured, launch_ms)})


def plan_layers(supernet: Supernet, asked: Sequence[int] | None, subnets: int, seed: int) -> LayerPlan:
    """What to measure at the resolutions ``asked`` for, or at as many as :data:`LONGEST_S` allows.

    Whole subnets are so many, or :data:`WHOLE_SUBNETS` where those are fewer. Raises InputError for too few, for
    resolutions that the supernet has not, and for layers that OFA's keys do not tell apart.
    """
    if subnets < FEWEST_WHOLE:
        raise InputError(
            f"--layers needs at least --samples {FEWEST_WHOLE}, got {subnets}: whole subnets tell what sums are worth"
        )
    whole = supernet.restricted({})
    choices = tuple(int(choice) for choice in whole.space.by_name[RESOLUTION].choices)
    if asked and (foreign := [resolution for resolution in asked if resolution not in choices]):
        raise InputError(
            f"--resolutions {listed(foreign)}: {supernet.name} has not; its resolutions are {listed(choices)}"
        )
    every = {resolution: nets_at(whole, resolution) for resolution in (sorted(set(asked or ())) or choices)}
    needed = every if asked else affordable(every)
    part = whole.restricted({RESOLUTION: tuple(needed)})
    ends, drawn = whole_subnets(part, min(subnets, WHOLE_SUBNETS), np.random.default_rng(seed))
    return LayerPlan(part, needed, (*ends, *drawn), drawn or ends)


def nets_at(supernet: Supernet, resolution: int) -> dict[str, tuple[Layer, ...]]:
    """The layers of every entry that the supernet needs at a resolution, under names within their block."""
    part = supernet.restricted({RESOLUTION: (resolution,)})
    walked = (layers for segment in part.segments for layers in layers_by_choice(part.space, segment))
    return each_once(
        {note10_key(name, piece): within_block(name, piece)}
        for layers in walked
        for name, piece in grouped(layers)
    )


def within_block(name: str, piece: Sequence[Layer]) -> tuple[Layer, ...]:
    """Without what does not move their time: where in a network they are, and what is held beside them."""
    return tuple(replace(layer, name=layer.name.removeprefix(f"{name}."), held=0) for layer in piece)


def each_once(parts: Iterable[LayersByKey]) -> dict[str, tuple[Layer, ...]]:
    """All of them, each once. Raises InputError where one key stands for different layers."""
    found: dict[str, tuple[Layer, ...]] = {}
    for part in parts:
        for key, layers in part.items():
            if without_names(found.setdefault(key, layers)) != without_names(layers):
                raise InputError(
                    f"the key {key!r} of a latency table stands for two different blocks of this supernet, so no "
                    "table can tell them apart; oncefit profile without --layers fits whole subnets"
                )
    return found


def without_names(layers: Sequence[Layer]) -> list[Layer]:
    return [replace(layer, name="") for layer in layers]


def affordable(every: Mapping[int, LayersByKey]) -> dict[int, LayersByKey]:
    """As many resolutions, evenly from the first to the last, as can be measured in :data:`LONGEST_S`; at least one."""
    known = sorted(every)
    for count in range(len(known), 0, -1):
        chosen = [known[place] for place in np.linspace(len(known) - 1, 0, count).round().astype(int)[::-1]]
        found = {resolution: every[resolution] for resolution in chosen}
        if count == 1 or expected_s(len(each_once(found.values())) + WHOLE_SUBNETS) <= LONGEST_S:
            return found
    raise AssertionError("a space has a resolution")


def expected_s(networks: int) -> float:
    """Seconds to load and time so many networks: each has a warm-up and a slice in a round."""
    return networks * (LOAD_S + ROUNDS * 2 * SLICE_S)


def whole_subnets(
    supernet: Supernet, count: int, rng: np.random.Generator
) -> tuple[tuple[Arch, ...], tuple[Arch, ...]]:
    """Ends of the space, and random subnets."""
    space = supernet.space
    ends = corners(space, CORNERS)
    drawn = fresh(space.decode(space.sample(CORNERS * count, rng)), dict.fromkeys(ends))
    return tuple(ends), tuple(drawn[: count - len(ends)])


def entry(rounds_ms: Sequence[float], launch_ms: float) -> tuple[float, float]:
    """Median and deviation of a layer's rounds, without the launch."""
    median = of_rounds(rounds_ms).median_ms
    own = max(median - launch_ms, LEAST_SHARE_LEFT * median)
    return significant(own), significant(statistics.pstdev(rounds_ms))


def significant(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def whole_fit(table: LatencyTable, plan: LayerPlan, measured: Measurements, launch_ms: float) -> WholeFit:
    """What a sum of the table is worth in a whole subnet, robustly, with the error of subnets that were left out."""
    latencies = quiet_latencies(measured)
    times = np.array([latency.median_ms for latency in latencies])
    codes = plan.supernet.space.encode(plan.archs)
    cost = latency_cost(table, plan.supernet, FILE)
    off_ms = MOST_OFF_SHARE * cost.reach().minimum
    amounts = np.column_stack([np.ones(len(codes)), cost.batch(codes) - off_ms])
    found = validated(Sums(amounts, times, np.eye(2), 2, ("inference", "layers")))
    beside, factor = found.fitted.prices.tolist()
    told = [place for place, arch in enumerate(plan.archs) if arch in plan.tested]
    errors = 100 * np.abs(np.exp(-found.log_ratios[told]) - 1)
    layers = map(of_rounds, quiet_rounds(measured, measured.layers or ()))
    spreads = [latency.spread for latency in (*latencies, *layers)]
    return WholeFit(
        intercept_ms=significant(beside - factor * off_ms),
        factor=significant(factor),
        launch_ms=significant(launch_ms),
        subnets=len(plan.archs),
        tested=len(told),
        error_percent=round(float(np.median(errors)), 2),
        worst_error_percent=round(float(errors.max()), 2),
        folds=found.folds,
        spread_percent=round(100 * statistics.median(spreads), 2),
        held_out=rising_ratios(found),
        settings=settings(measured),
    )
