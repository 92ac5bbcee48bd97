"""Energy and CO2e: closed forms on layers counted by hand, and an order that is not latency's."""

from __future__ import annotations

import numpy as np
import pytest

from cost_models import energy, latency, latency_fit
from cost_models.device import Device, LatencyModel, Power
from cost_models.fit_design import choose_archs
from cost_models.grid import carbon_intensity
from cost_models.profiling import LatencyMeasurement
from cost_models.protocol import Target
from supernet import documents
from supernet.arch import Arch
from supernet.catalog import Supernet, open_supernet
from supernet.errors import InputError
from supernet.layers import Layer


@pytest.fixture(scope="module")
def net() -> Supernet:
    return open_supernet("fmnist_mbv3")


@pytest.fixture(scope="module")
def model(net: Supernet) -> LatencyModel:
    """A microsecond for each layer and nothing for its size."""
    archs = choose_archs(net, 40, np.random.default_rng(0)).archs
    times = [0.001 * len(net.layers(a)) for a in archs]
    return latency_fit.fit(net, archs, [LatencyMeasurement(t, t, t, 1) for t in times])


def device_of(model: LatencyModel, region: str = "WORLD", **power: float) -> Device:
    figures = Power(**{"static_w": 0, "pj_per_mac": 0, "pj_per_byte": 0, **power}, source="made up")
    return Device(name="toy", runtime="none", threads=1, region=region, power=figures, latency=model)


def test_bytes_and_picojoules_of_a_layer_by_hand() -> None:
    layer = Layer("point", "conv", 16, 32, 14, 14, norm=True)
    elements = 16 * 32 + 16 * 14 * 14 + 32 * 14 * 14
    assert energy.bytes_moved(layer) == 4 * elements == 39_680
    power = Power(static_w=5, pj_per_mac=4.6, pj_per_byte=160, source="")
    joules = 16 * 32 * 14 * 14 * 4.6e-12 + 39_680 * 160e-12
    assert energy.dynamic_mj(power, layer) == pytest.approx(joules * 1e3)
    add = Layer("add", "add", 32, 32, 7, 7)
    assert energy.dynamic_mj(power, add) == pytest.approx(2 * 32 * 49 * 4 * 160e-12 * 1e3)


def test_each_term_alone(net: Supernet, model: LatencyModel) -> None:
    arch = net.space.largest()
    static = energy.energy_mj(Target(net, device_of(model, static_w=2)))
    milliseconds = latency.latency_ms(Target(net, device_of(model)))(arch)
    assert static(arch) == pytest.approx(2 * milliseconds)  # W x ms = mJ
    macs = sum(layer.macs for layer in net.layers(arch))
    by_macs = energy.energy_mj(Target(net, device_of(model, pj_per_mac=4.6)))
    assert by_macs(arch) == pytest.approx(4.6e-12 * macs * 1e3)
    by_bytes = energy.energy_mj(Target(net, device_of(model, pj_per_byte=160)))
    moved = sum(energy.bytes_moved(layer) for layer in net.layers(arch))
    assert by_bytes(arch) == pytest.approx(160e-12 * moved * 1e3)


def test_co2e_is_energy_times_the_grid(net: Supernet, model: LatencyModel) -> None:
    arch = net.space.largest()
    joules = energy.energy_mj(Target(net, device_of(model, static_w=1.9, pj_per_byte=160)))(arch) * 1e-3
    for region in ("FRA", "POL"):
        grams = joules / 3.6e6 * carbon_intensity(region).grams_per_kwh
        cost = energy.co2e_mg(Target(net, device_of(model, region, static_w=1.9, pj_per_byte=160)))
        assert cost.name == "co2e_mg"
        assert cost(arch) == pytest.approx(grams * 1e3)


MEASURED = {
    "conv1.calls": 1.01e-03, "conv1.work": 9.35e-09, "conv3.calls": 6.12e-03, "conv3.work": 0,
    "depthwise3.calls": 0, "depthwise3.work": 7.36e-08, "depthwise5.calls": 8.31e-05,
    "depthwise5.work": 4.11e-08, "depthwise7.calls": 9.83e-04, "depthwise7.work": 2.56e-08,
    "h_sigmoid.elements": 4.01e-05, "h_swish.elements": 3.69e-07, "relu.elements": 0,
    "add.calls": 1.29e-06, "add.work": 0, "linear.calls": 0, "linear.work": 0,
    "pool.calls": 0, "pool.work": 0, "scale.calls": 0, "scale.work": 0,
}  # fmt: skip
"""Milliseconds, fitted to 130 subnets on an EPYC with AVX-512, ONNX Runtime 1.32, one thread."""


def test_energy_orders_subnets_differently_from_latency(net: Supernet, model: LatencyModel) -> None:
    """Shallow on large maps against deep on small ones: 5 % faster, and yet 9 % more energy.

    Large maps move many bytes through few calls; on small maps a call takes its time for little data.
    """
    host = documents.read(documents.find("devices", "host"), Device)
    latency_model = model.model_copy(update={"coefficients": MEASURED, "intercept_ms": 0.0})
    target = Target(net, host.model_copy(update={"latency": latency_model}))
    shallow = arch_of(
        net, resolution=28, depths=(2, 1, 1), kernels=("33", "7", "3"), expands=("44", "2", "2")
    )
    deep = arch_of(
        net, resolution=18, depths=(1, 4, 1), kernels=("5", "7755", "3"), expands=("2", "4343", "2")
    )
    milliseconds = latency.latency_ms(target)
    assert milliseconds(shallow) < 0.97 * milliseconds(deep)
    for estimate in (energy.energy_mj(target), energy.co2e_mg(target)):
        assert estimate(shallow) > 1.05 * estimate(deep)


def arch_of(
    net: Supernet,
    resolution: int,
    depths: tuple[int, ...],
    kernels: tuple[str, ...],
    expands: tuple[str, ...],
) -> Arch:
    values: dict[str, int | float] = {"resolution": resolution}
    for stage, depth in enumerate(depths, 1):
        values[f"depth.{stage}"] = depth
        for block in range(1, depth + 1):
            values[f"kernel.{stage}.{block}"] = int(kernels[stage - 1][block - 1])
            values[f"expand.{stage}.{block}"] = int(expands[stage - 1][block - 1])
    return net.space.arch(values)


def test_energy_needs_a_device_and_a_known_region(net: Supernet, model: LatencyModel) -> None:
    with pytest.raises(InputError, match="needs a device"):
        energy.energy_mj(Target(net))
    with pytest.raises(InputError, match=r"unknown region 'FRANCE'\. Did you mean 'FRA'\?"):
        energy.co2e_mg(Target(net, device_of(model, "FRANCE")))
