"""Energy and CO2e of one inference: estimates from a device's power figures, not measurements.

    energy = static power x latency + energy per multiply-add x macs + energy per byte x bytes moved

as sums over layers. Every layer reads its weights and its input and writes its
output once, in float32; where a cache holds them the true figure is lower.
"""

from __future__ import annotations

from cost_models.compute import BYTES_PER_ELEMENT
from cost_models.devices import Power, carbon_intensity
from cost_models.latency import fitted, layer_ms
from cost_models.protocol import CostModel, Target
from cost_models.tables import TableCost, table_cost
from supernet.layers import Layer

MJ_PER_PJ = 1e-9
MJ_PER_KWH = 3.6e9
MG_PER_G = 1e3


def energy_mj(target: Target) -> CostModel:
    """Estimated millijoules of one inference at batch 1."""
    return energy_table("energy_mj", target, 1.0)


def co2e_mg(target: Target) -> CostModel:
    """Estimated milligrams of CO2 equivalent of one inference at batch 1, on the grid of the device's region."""
    device, _ = fitted(target)
    grams_per_kwh = carbon_intensity(device.region).grams_per_kwh
    return energy_table("co2e_mg", target, grams_per_kwh * MG_PER_G / MJ_PER_KWH)


def energy_table(name: str, target: Target, unit_per_mj: float) -> TableCost:
    """The energy estimate in a unit of which ``unit_per_mj`` make a millijoule."""
    device, latency = fitted(target)
    power = device.power

    def of_layer(layer: Layer) -> float:
        static_mj = power.static_w * layer_ms(latency, layer, device.name)
        return (static_mj + dynamic_mj(power, layer)) * unit_per_mj

    offset = power.static_w * latency.intercept_ms * unit_per_mj
    return table_cost(name, target.supernet.space, target.supernet.segments, of_layer, offset=offset)


def dynamic_mj(power: Power, layer: Layer) -> float:
    """Millijoules that a layer's multiply-adds and its traffic take, whatever the time."""
    return (power.pj_per_mac * layer.macs + power.pj_per_byte * bytes_moved(layer)) * MJ_PER_PJ


def bytes_moved(layer: Layer) -> int:
    """Weights and input read, output written, in float32."""
    return (layer.weights + layer.in_elements + layer.out_elements) * BYTES_PER_ELEMENT
