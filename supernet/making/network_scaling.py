"""How wide a supernet is: one multiplier of a plan's widths, found over the walk that costs are summed over.

Free of torch. A plan says what a network for images of a size looks like (:mod:`supernet.making.network_plans`); here its
widths are multiplied until the largest subnet is within given bounds, and as close below them as multiples of eight allow.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from supernet.archs.layers import layers
from supernet.errors import InputError
from supernet.networks.inverted_residuals import CHANNEL_DIVISOR, MobileNetV3Spec, positions, segments, space

TIMES_THE_SMALLEST = 6
"""The largest subnet has at least so many times the multiply-adds of the smallest, or there is little to choose from."""
CLOSE = 0.95
"""A share of the bound on multiply-adds that is close enough to it."""
TAPERS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
"""What the last stage's width is multiplied by besides; later stages have most of the weights, so these come down."""
WIDEST_HEAD = 6
"""Times as many channels as the last stage has: as in MobileNetV3."""
LEAST_MULTIPLIER, MOST_MULTIPLIER = 0.01, 16.0
BISECTIONS = 16
"""Halvings of the range of multipliers: widths of up to some thousand channels are then told apart."""


@dataclass(frozen=True)
class Bounds:
    """What may not be exceeded: multiply-adds of the largest subnet, and weights of the whole supernet."""

    macs: float
    params: float | None = None

    def hold(self, spec: MobileNetV3Spec) -> bool:
        return largest_macs(spec) <= self.macs and (
            self.params is None or supernet_params(spec) <= self.params
        )


def checked_bounds(macs: float, params: float | None) -> Bounds:
    """Raises InputError for what is no bound."""
    for option, given in (("--max-macs", macs), ("--max-params", params)):
        if given is not None and not 0 < given < math.inf:
            raise InputError(f"{option}: got {given:g}; a number above 0 is possible, as 40e6")
    return Bounds(macs, params)


def largest_macs(spec: MobileNetV3Spec) -> int:
    """Multiply-adds of the largest subnet."""
    return sum(layer.macs for layer in layers(segments(spec), space(spec).largest()))


def smallest_macs(spec: MobileNetV3Spec) -> int:
    return sum(layer.macs for layer in layers(segments(spec), space(spec).smallest()))


def supernet_params(spec: MobileNetV3Spec) -> int:
    """Trainable parameters of the whole supernet: its largest subnet's, and the matrices between sizes of kernels."""
    largest = sum(layer.params for layer in layers(segments(spec), space(spec).largest()))
    return largest + sum(kernel_transforms(spec.stages[stage - 1].kernels) for stage, _ in positions(spec))


def kernel_transforms(kernels: Iterable[int]) -> int:
    """Entries of the matrices that make each smaller kernel of the next larger one's middle."""
    return sum(kernel**4 for kernel in sorted(kernels)[:-1])


def widest_within(plan: MobileNetV3Spec, bounds: Bounds) -> MobileNetV3Spec:
    """The plan with the widest channels within the bounds.

    Where weights are the tighter bound, later stages are narrowed against the earlier ones, as far as it takes to come
    close to the bound on multiply-adds. Raises InputError for bounds that no width meets.
    """
    narrowest, widest = multiplied(plan, LEAST_MULTIPLIER), multiplied(plan, MOST_MULTIPLIER)
    check_reachable(narrowest, widest, bounds)
    best = narrowest
    for taper in TAPERS:
        found = filled_up(multiplied(plan, largest_multiplier(plan, taper, bounds), taper), bounds)
        if largest_macs(found) > largest_macs(best):
            best = found
        if largest_macs(best) >= CLOSE * bounds.macs:
            break
    if TIMES_THE_SMALLEST * smallest_macs(best) > largest_macs(best):
        raise InputError(
            f"within {bounds.macs:,.0f} multiply-adds the smallest subnet would have {smallest_macs(best):,} and the largest "
            f"{largest_macs(best):,}, which is less than {TIMES_THE_SMALLEST} times as many; allow more with --max-macs"
        )
    return best


def check_reachable(narrowest: MobileNetV3Spec, widest: MobileNetV3Spec, bounds: Bounds) -> None:
    side = f"images of {narrowest.resolutions[-1]} pixels"
    least, most = largest_macs(narrowest), largest_macs(widest)
    if least > bounds.macs:
        raise InputError(
            f"--max-macs {bounds.macs:,.0f} is too few for {side}: the narrowest supernet's largest subnet has {least:,}; "
            "allow more, or give a smaller --image-size"
        )
    if most < CLOSE * bounds.macs:
        raise InputError(
            f"--max-macs {bounds.macs:,.0f} is too many for {side}: the widest supernet's largest subnet has {most:,}; "
            "allow fewer, or give a larger --image-size"
        )
    if bounds.params is not None and supernet_params(narrowest) > bounds.params:
        raise InputError(
            f"--max-params {bounds.params:,.0f} is too few: the narrowest supernet has {supernet_params(narrowest):,}; "
            "allow more"
        )


def largest_multiplier(plan: MobileNetV3Spec, taper: float, bounds: Bounds) -> float:
    """The largest multiplier within the bounds, or the least of all."""
    low, high = LEAST_MULTIPLIER, MOST_MULTIPLIER
    for _ in range(BISECTIONS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if bounds.hold(multiplied(plan, middle, taper)) else (low, middle)
    return low


def multiplied(plan: MobileNetV3Spec, multiplier: float, taper: float = 1.0) -> MobileNetV3Spec:
    """The plan with all widths multiplied, those of later stages by more and more of ``taper`` besides."""
    last = max(1, len(plan.stages) - 1)
    stages = tuple(
        replace(stage, width=in_eights(stage.width * multiplier * taper ** (i / last)))
        for i, stage in enumerate(plan.stages)
    )
    return replace(
        plan, stages=stages, stem_width=in_eights(plan.stem_width * multiplier),
        first_width=in_eights(plan.first_width * multiplier),
        head_width=in_eights(plan.head_width * multiplier * taper),
    )  # fmt: skip


def in_eights(channels: float) -> int:
    """The nearest multiple of what channels come in, and at least one of them."""
    return max(CHANNEL_DIVISOR, round(channels / CHANNEL_DIVISOR) * CHANNEL_DIVISOR)


def filled_up(spec: MobileNetV3Spec, bounds: Bounds) -> MobileNetV3Spec:
    """One step more for each stage for which there is room, the last one first, and then as many as fit for the head."""
    for place in reversed(range(len(spec.stages))):
        more = widened(spec, place)
        spec = more if bounds.hold(more) else spec
    widest = max(spec.head_width, WIDEST_HEAD * spec.stages[-1].width)
    while spec.head_width < widest:
        more = replace(spec, head_width=spec.head_width + CHANNEL_DIVISOR)
        if not bounds.hold(more):
            break
        spec = more
    return spec


def widened(spec: MobileNetV3Spec, place: int) -> MobileNetV3Spec:
    """The same with one stage, counted from 0, a step wider."""
    stages = list(spec.stages)
    stages[place] = replace(stages[place], width=stages[place].width + CHANNEL_DIVISOR)
    return replace(spec, stages=tuple(stages))
