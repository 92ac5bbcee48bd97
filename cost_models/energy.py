"""Energy and CO2e of one inference: estimates from a device's power figures, not measurements.

    energy = static power x latency + energy per multiply-add x macs + energy per byte x bytes moved

as sums over layers. Every layer reads its weights and its input and writes its
output once, in float32; where a cache holds them the true figure is lower.

The costs are the central estimates, which a search compares. Those that are shown have
ranges too: each figure of power, and the grid's, may be anywhere in its own range.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cost_models.compute import BYTES_PER_ELEMENT
from cost_models.device import FIGURES, Device, Power
from cost_models.grid import Place, carbon_intensity
from cost_models.latency import known_latency, latency_ms
from cost_models.protocol import Target
from cost_models.ranges import Range
from cost_models.tables import Factor, TableCost, table_cost
from supernet.archs.layers import Layer
from supernet.errors import InputError

MJ_PER_PJ = 1e-9
MJ_PER_KWH = 3.6e9
MG_PER_G = 1e3


def energy_mj(target: Target) -> TableCost:
    """Estimated millijoules of one inference at batch 1."""
    return energy_table("energy_mj", target, 1.0)


def co2e_mg(target: Target) -> TableCost:
    """Estimated milligrams of CO2 equivalent of one inference at batch 1, on the grid of the device's region."""
    device, _ = known_latency(target)
    if device.region is None:
        raise InputError(
            f"device {device.name!r} has no region, which co2e_mg needs: add region: to its file, for example "
            "region: WORLD"
        )
    grams_per_kwh = carbon_intensity(device.region).grams_per_kwh
    return energy_table("co2e_mg", target, grams_per_kwh * MG_PER_G / MJ_PER_KWH)


def energy_table(name: str, target: Target, unit_per_mj: float) -> TableCost:
    """The energy estimate in a unit of which ``unit_per_mj`` make a millijoule."""
    device, _ = known_latency(target)
    power = power_of(device, name)
    supernet, latency = target.supernet, latency_ms(target)
    dynamic = table_cost(name, supernet.space, supernet.segments, lambda layer: dynamic_mj(power, layer))
    static_w = power.static_w.value
    factors = tuple(
        Factor(time.columns, (static_w * time.table + work.table) * unit_per_mj)
        for time, work in zip(latency.factors, dynamic.factors, strict=True)  # one for each segment
    )
    return TableCost(name, supernet.space, factors, offset=static_w * latency.offset * unit_per_mj)


def power_of(device: Device, cost: str) -> Power:
    """Raises InputError for a device without power figures."""
    if device.power is None:
        raise InputError(
            f"device {device.name!r} has no power figures, which {cost} needs: add power: to its file, "
            f"with {', '.join(FIGURES)}"
        )
    return device.power


def dynamic_mj(power: Power, layer: Layer) -> float:
    """Millijoules that a layer's multiply-adds and its traffic take, whatever the time."""
    return (power.pj_per_mac.value * layer.macs + power.pj_per_byte.value * bytes_moved(layer)) * MJ_PER_PJ


def bytes_moved(layer: Layer) -> int:
    """Weights and input read, output written, in float32."""
    return (layer.weights + layer.in_elements + layer.out_elements) * BYTES_PER_ELEMENT


# -- ranges ----------------------------------------------------------------------


@dataclass(frozen=True)
class Work:
    """What an inference at batch 1 takes energy for; a difference of two may be negative."""

    latency_ms: float
    macs: float
    bytes_moved: float

    def __sub__(self, other: Work) -> Work:
        return Work(
            self.latency_ms - other.latency_ms, self.macs - other.macs, self.bytes_moved - other.bytes_moved
        )


def work_of(latency_ms: float, layers: Iterable[Layer]) -> Work:
    """The work of a subnet with these layers that takes so long."""
    known = list(layers)
    return Work(latency_ms, sum(layer.macs for layer in known), sum(map(bytes_moved, known)))


def energy_range(power: Power, work: Work) -> Range:
    """Millijoules of ``work``, from the least to the greatest that the figures of power allow.

    Of a difference of two subnets the range is that of the difference: the same figures hold for both.
    """
    return (
        power.static_w * work.latency_ms
        + power.pj_per_mac * (work.macs * MJ_PER_PJ)
        + power.pj_per_byte * (work.bytes_moved * MJ_PER_PJ)
    )


def co2e_range(power: Power, region: Place, work: Work) -> Range:
    """Milligrams of CO2e of ``work`` on the grid of a region."""
    return energy_range(power, work) * carbon_intensity(region).range * (MG_PER_G / MJ_PER_KWH)


def ranges(device: Device | None, latency_ms: float | None, layers: Iterable[Layer]) -> dict[str, Range]:
    """The ranges of ``energy_mj`` and ``co2e_mg`` of a subnet, of those that the device's figures suffice for."""
    if device is None or device.power is None or latency_ms is None:
        return {}
    work = work_of(latency_ms, layers)
    found = {"energy_mj": energy_range(device.power, work)}
    if device.region is not None:
        found["co2e_mg"] = co2e_range(device.power, device.region, work)
    return {name: made for name, made in found.items() if made.is_wide}
