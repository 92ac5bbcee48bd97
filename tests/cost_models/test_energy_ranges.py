"""Ranges of energy and CO2e: by every corner of the figures, around a central estimate that stays a sum of layers."""

from __future__ import annotations

import itertools

import pytest

from cost_models.device import Device
from cost_models.energy import Work, co2e_range, energy_range, ranges
from cost_models.grid import OwnGrid
from cost_models.protocol import Target
from cost_models.registry import build
from cost_models.variants import Variant, varied
from supernet import documents
from supernet.errors import InputError
from supernet.families.catalog import Supernet
from tests.helpers import tiny

WIDE = {
    "static_w": {"low": 1.0, "value": 1.9, "high": 3.5}, "pj_per_mac": {"low": 2, "value": 4.6, "high": 9},
    "pj_per_byte": {"low": 1, "value": 160, "high": 320}, "source": "made up",
}  # fmt: skip
FIGURES = ("static_w", "pj_per_mac", "pj_per_byte")


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Supernet:
    return tiny.open_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def device(net: Supernet, tmp_path_factory: pytest.TempPathFactory) -> Device:
    data = documents.load(tiny.write_device(net, tmp_path_factory.mktemp("known") / "known.yaml"))
    return documents.check({**data, "power": WIDE}, Device, "known")


def corners(device: Device) -> list[Device]:
    """The device with each figure at one of its ends."""
    made = []
    for ends in itertools.product(("low", "high"), repeat=len(FIGURES)):
        figures = {name: WIDE[name][end] for name, end in zip(FIGURES, ends, strict=True)}
        power = documents.check({**figures, "source": ""}, type(device.power), "corner")
        made.append(device.model_copy(update={"power": power}))
    return made


def test_the_range_of_a_subnet_is_that_of_all_corners(net: Supernet, device: Device) -> None:
    """Each corner by the cost model itself, which knows no ranges."""
    arch = net.space.middle()
    latency = build("latency_ms", Target(net, device))(arch)
    found = ranges(device, latency, net.layers(arch))
    for name in ("energy_mj", "co2e_mg"):
        every = [build(name, Target(net, corner))(arch) for corner in corners(device)]
        central = build(name, Target(net, device))(arch)
        assert (found[name].low, found[name].high) == pytest.approx((min(every), max(every)))
        assert found[name].value == pytest.approx(central)
        assert found[name].low < central < found[name].high


def test_the_range_of_a_difference_is_narrower_than_the_difference_of_ranges(device: Device) -> None:
    """One subnet takes longer, the other moves more: each figure is at its end for both."""
    assert device.power is not None
    slow, wide = Work(2.0, 1e6, 1e5), Work(1.0, 1e6, 9e6)
    both = [
        energy_range(corner.power, slow).value - energy_range(corner.power, wide).value
        for corner in corners(device)
    ]
    found = energy_range(device.power, slow - wide)
    assert (found.low, found.high) == pytest.approx((min(both), max(both)))
    apart = energy_range(device.power, slow) - energy_range(device.power, wide)
    assert apart.low < found.low
    assert found.high < apart.high


def test_a_grid_of_ones_own(net: Supernet, device: Device) -> None:
    """Twice the grams are twice the CO2e, and its range is carried on."""
    own = {"grams_per_kwh": {"low": 100, "value": 112.078, "high": 200}, "source": "my contract"}
    there = documents.check({"base": "known", "region": own}, Variant, "office.yaml")
    mine = varied(device, there)
    assert mine.name == "known-own"
    arch = net.space.largest()
    cost = build("co2e_mg", Target(net, mine))
    assert cost(arch) == pytest.approx(2 * build("co2e_mg", Target(net, device))(arch))  # FRA: 56.039
    assert device.power is not None
    work = Work(1.0, 0, 0)
    found = co2e_range(device.power, OwnGrid(**own), work)
    assert found.low == pytest.approx(1.0 * 100 / 3.6e6)
    assert found.high == pytest.approx(3.5 * 200 / 3.6e6)
    for wrong, said in (
        ({"grams_per_kwh": 0, "source": "x"}, "greater than 0"),
        ({"grams_per_kwh": 3}, "source"),
    ):
        with pytest.raises(InputError, match=said):
            documents.check({"base": "known", "region": wrong}, Variant, "office.yaml")


def test_a_device_without_figures_has_no_ranges(device: Device, net: Supernet) -> None:
    layers = net.layers(net.space.smallest())
    assert ranges(None, 1.0, layers) == {}
    assert ranges(device.model_copy(update={"power": None}), 1.0, layers) == {}
    assert ranges(device.model_copy(update={"region": None}), 1.0, layers).keys() == {"energy_mj"}
