"""Supernets within bounds: their costs as torch counts them, and how close to the bounds they come."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from supernet.archs.arch import Arch
from supernet.errors import InputError
from supernet.making.network_plans import count_halvings, network_plan, resolutions_for
from supernet.making.network_scaling import (
    Bounds,
    checked_bounds,
    largest_macs,
    multiplied,
    smallest_macs,
    supernet_params,
    widest_within,
)
from supernet.networks.inverted_residual_networks import ElasticNet, Subnet
from supernet.networks.inverted_residuals import MobileNetV3Spec, space

CASES = [
    (32, 3, 10, 40e6, 950e3), (28, 1, 10, 12e6, None),
    (96, 3, 10, 100e6, None), (224, 3, 1000, 400e6, 4.5e6),
]  # fmt: skip
"""Side, channels, classes, and the bounds."""


def spec_of(case: tuple[int, int, int, float, float | None]) -> MobileNetV3Spec:
    side, channels, classes, macs, params = case
    return widest_within(network_plan("mine", side, channels, classes), Bounds(macs, params))


def counted_macs(spec: MobileNetV3Spec, arch: Arch) -> int:
    """Multiply-adds of an arch as torch counts them."""
    net = Subnet(spec, arch.values).eval()
    images = torch.zeros(1, spec.in_channels, arch.resolution, arch.resolution)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(images)
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_supernet_is_within_its_bounds_as_torch_counts(
    case: tuple[int, int, int, float, float | None],
) -> None:
    spec = spec_of(case)
    _, channels, classes, macs, params = case
    largest = counted_macs(spec, space(spec).largest())
    assert 0.95 * macs <= largest <= macs
    assert 6 * smallest_macs(spec) <= largest
    with torch.device("meta"):
        weights = sum(p.numel() for p in ElasticNet(spec).parameters())
    assert supernet_params(spec) == weights <= (params or weights)
    assert (spec.in_channels, spec.classes) == (channels, classes)


@pytest.mark.parametrize("side", [8, 12, 17, 24, 28, 32, 48, 64, 96, 128, 160, 192, 224, 299, 512, 1024])
def test_every_size_has_a_plan_whose_last_map_is_small(side: int) -> None:
    plan = network_plan("mine", side, 3, 10)
    strides = [plan.stem_stride, plan.first_stride, *(stage.stride for stage in plan.stages)]
    assert strides.count(2) == count_halvings(side) <= 5
    assert strides.count(2) == 5 or 6 <= -(-side // 2 ** strides.count(2)) <= 12
    assert plan.resolutions[-1] == side == max(plan.resolutions)
    assert 0.7 <= plan.resolutions[0] / side <= 0.8
    assert list(plan.resolutions) == sorted(set(plan.resolutions))


@pytest.mark.parametrize(("side", "sides"), [(32, (24, 28, 32)), (224, (160, 192, 224)), (64, (48, 56, 64))])
def test_resolutions_are_below_the_side(side: int, sides: tuple[int, ...]) -> None:
    assert resolutions_for(side) == sides


@pytest.mark.parametrize("side", [32, 224])
def test_more_is_allowed_more_is_used(side: int) -> None:
    """And the widths are multiples of eight."""
    found = [
        widest_within(network_plan("mine", side, 3, 10), Bounds(macs)) for macs in (6e7, 1.1e8, 2e8, 4e8)
    ]
    assert all(largest_macs(one) < largest_macs(other) for one, other in pairwise(found))
    assert all(stage.width % 8 == 0 for spec in found for stage in spec.stages)


def test_few_weights_narrow_the_late_stages_first() -> None:
    plan = network_plan("mine", 32, 3, 10)
    free, bound = (widest_within(plan, Bounds(40e6, params)) for params in (None, 600e3))
    assert supernet_params(bound) <= 600e3 < supernet_params(free)
    assert bound.stages[-1].width < free.stages[-1].width
    assert bound.stages[0].width >= free.stages[0].width


@pytest.mark.parametrize(
    ("side", "macs", "params", "said"),
    [
        (32, 1e4, None, "--max-macs 10,000 is too few for images of 32 pixels"),
        (32, 1e13, None, "--max-macs 10,000,000,000,000 is too many for images of 32 pixels"),
        (224, 5e6, None, "too few for images of 224 pixels"),
        (32, 40e6, 100, "--max-params 100 is too few: the narrowest supernet has"),
    ],
)
def test_bounds_that_no_width_meets_are_told(side: int, macs: float, params: float | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        widest_within(network_plan("mine", side, 3, 10), Bounds(macs, params))


def test_what_is_said_to_be_the_least_is_possible() -> None:
    plan = network_plan("mine", 32, 3, 10)
    least = largest_macs(multiplied(plan, 0.01))
    assert largest_macs(widest_within(plan, Bounds(least))) == least
    with pytest.raises(InputError, match=f"has {least:,}"):
        widest_within(plan, Bounds(least - 1))


@pytest.mark.parametrize(("side", "channels"), [(1, 3), (7, 3), (2000, 3), (32, 2), (32, 0), (32, 4)])
def test_images_that_there_is_no_plan_for(side: int, channels: int) -> None:
    with pytest.raises(InputError, match="possible"):
        network_plan("mine", side, channels, 10)


@pytest.mark.parametrize("bound", [0, -1, float("nan"), float("inf")])
def test_what_is_no_bound(bound: float) -> None:
    with pytest.raises(InputError, match="a number above 0 is possible"):
        checked_bounds(bound, None)
    with pytest.raises(InputError, match="--max-params"):
        checked_bounds(1e6, bound)
