"""Which subnets a latency is fitted to: every price is known, and the error is that of archs not chosen for it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from cost_models import latency_fit
from cost_models.device import Device
from cost_models.fit_design import Design, choose_archs, corners
from cost_models.host import FIT_SEED, FIT_SUBNETS
from cost_models.latency import latency_ms
from cost_models.profiling import LatencyMeasurement
from cost_models.protocol import Target
from supernet import documents
from supernet.archs.arch import Arch
from supernet.families.catalog import Supernet, open_supernet
from tests.helpers.tiny import all_archs, open_tiny

SHIPPED = documents.names("supernets")


@lru_cache
def design_of(name: str) -> Design:
    return choose_archs(open_supernet(name), FIT_SUBNETS, np.random.default_rng(FIT_SEED))


def uneven_ms(net: Supernet, arch: Arch) -> float:
    """A made-up machine that no sum over layers fits: its convolutions are slow on few channels and large maps."""
    total = 0.05
    for layer in net.layers(arch):
        price = {"conv": 2e-8, "depthwise": 9e-8}.get(layer.op, 1e-8)
        slow = 1 + 0.8 / (1 + layer.in_channels / 64) + 0.5 * (layer.in_elements > 250_000)
        total += 0.003 + price * slow * max(layer.macs, layer.in_elements)
    return total


def exactly(ms: float) -> LatencyMeasurement:
    return LatencyMeasurement(ms, ms, ms, 1)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_quarter_are_corners_and_a_good_part_is_random(name: str) -> None:
    net, design = open_supernet(name), design_of(name)
    assert len(set(design.archs)) == len(design.archs) == FIT_SUBNETS
    assert len(design.corners) <= FIT_SUBNETS / 4
    assert {net.space.smallest(), net.space.largest()} <= set(design.corners)
    assert len(design.random) >= 10
    drawn = net.space.decode(net.space.sample(FIT_SUBNETS, np.random.default_rng(FIT_SEED)))
    assert set(design.random) <= set(drawn)
    assert len({arch.resolution for arch in design.archs}) >= min(10, len(choices(net, "resolution")))


def choices(net: Supernet, dimension: str) -> tuple[object, ...]:
    return net.space.by_name[dimension].choices


@pytest.mark.parametrize("name", SHIPPED)
def test_every_layer_of_every_shipped_supernet_has_a_price(name: str) -> None:
    """A fit to the chosen archs, of which each coefficient is needed, prices all tables of the space."""
    net, design = open_supernet(name), design_of(name)
    kinds = [{kind_of(layer) for layer in net.layers(arch)} for arch in design.archs]
    sample = net.space.decode(net.space.sample(300, np.random.default_rng(7)))
    for kind in {kind_of(layer) for arch in sample for layer in net.layers(arch)}:
        assert sum(kind in found for found in kinds) >= 4, f"{kind} is in too few to be priced and tested"
    measured = [exactly(uneven_ms(net, arch)) for arch in design.archs]
    model = latency_fit.fit(net, design.archs, measured, tested=design.random)
    cost = latency_ms(Target(net, Device(name="toy", latency=model)))  # raises for a layer without a price
    assert 0 < cost.reach().minimum < cost.reach().maximum


def kind_of(layer: object) -> tuple[object, ...]:
    return tuple(getattr(layer, name) for name in ("op", "kernel", "act"))


@pytest.mark.parametrize("name", SHIPPED)
def test_the_error_that_is_told_is_that_of_unseen_archs(name: str) -> None:
    net, design = open_supernet(name), design_of(name)
    times = [exactly(uneven_ms(net, arch)) for arch in design.archs]
    model = latency_fit.fit(net, design.archs, times, tested=design.random)
    predict = latency_ms(Target(net, Device(name="toy", latency=model)))
    unseen = net.space.decode(net.space.sample(200, np.random.default_rng(11)))
    errors = [100 * abs(predict(arch) / uneven_ms(net, arch) - 1) for arch in unseen]
    assert model.tested == len(design.random)
    assert 0.4 * np.median(errors) < model.error_percent < 2.5 * np.median(errors)
    assert model.worst_error_percent is not None
    assert model.error_percent <= model.worst_error_percent < 1.5 * max(errors)


def test_the_error_is_not_that_of_the_archs_that_were_chosen() -> None:
    """Corners that a fit meets exactly do not make it look better on what a search asks about."""
    net = open_supernet("fmnist_mbv3")
    design = design_of("fmnist_mbv3")
    rng = np.random.default_rng(3)
    noise = {arch: float(np.exp(rng.normal(0, 0.2))) for arch in design.random}
    times = [exactly(uneven_ms(net, arch) * noise.get(arch, 1)) for arch in design.archs]
    told = latency_fit.fit(net, design.archs, times, tested=design.random).error_percent
    of_all = latency_fit.fit(net, design.archs, times).error_percent
    assert of_all < 0.7 * told
    assert 7 < told < 25


def test_corners_are_spread_over_the_resolutions_and_few() -> None:
    space = open_supernet("ofa_resnet50").space
    found = corners(space, 8)
    assert len(found) == 8
    sides = sorted({arch.resolution for arch in found})
    assert (sides[0], sides[-1], len(sides)) == (128, 224, 4)
    assert len(corners(open_supernet("fmnist_mbv3").space, 8)) == 6  # two at each of three


def test_a_space_smaller_than_the_design_gives_all_it_has_and_the_same_seed_the_same(
    tmp_path: Path,
) -> None:
    net = open_tiny(tmp_path)
    few = net.restricted({"kernel": (5,), "expand": (3,), "resolution": (16,)})
    design = choose_archs(few, FIT_SUBNETS, np.random.default_rng(0))
    assert set(design.archs) <= set(all_archs(few))
    assert len(set(design.archs)) == len(design.archs) == len(all_archs(few))
    again = choose_archs(net, 20, np.random.default_rng(1)), choose_archs(net, 20, np.random.default_rng(1))
    assert again[0] == again[1]
    assert choose_archs(net, 20, np.random.default_rng(2)) != again[0]


def test_a_rare_layer_is_covered(tmp_path: Path) -> None:
    """A kernel of 5 in one block of one stage only, which no random candidate is sure to have."""
    net = open_tiny(tmp_path)
    space = net.space
    kernels = [d for d in space.dimensions if d.kind == "kernel"]
    rare = net.restricted({d.name: (3,) for d in kernels[:-1]})
    design = choose_archs(rare, 4, np.random.default_rng(0))
    assert any(arch.values.get(kernels[-1].name) == 5 for arch in design.archs)
