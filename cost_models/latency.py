"""Latency of a subnet on a device: by a published table, or a sum over layers fitted to measured subnets.

In the fitted model each layer costs a constant for its kind, a price for its work and one for its
activation function (:mod:`cost_models.latency_fit`). A sum over layers is exact in lookup tables, so a
search gets the latency of whole populations and its exact reach.
"""

from __future__ import annotations

from cost_models.device import Device, LatencyModel, LatencyTable
from cost_models.latency_tables import LatencyStd, latency_cost, latency_std
from cost_models.layer_features import features, whatever_size
from cost_models.protocol import Target
from cost_models.tables import TableCost, table_cost
from supernet.archs.layers import Layer
from supernet.errors import InputError
from supernet.families.catalog import Supernet


def latency_ms(target: Target) -> TableCost:
    """Milliseconds of one inference at batch 1, by the device's latency model or its table."""
    device, latency = known_latency(target)
    supernet = target.supernet
    if isinstance(latency, LatencyTable):
        return latency_cost(latency, supernet, device.name)
    check_fitted_resolutions(supernet, device.name)
    return table_cost(
        "latency_ms", supernet.space, supernet.segments,
        lambda layer: layer_ms(latency, layer, device.name), offset=latency.intercept_ms,
    )  # fmt: skip


def latency_std_ms(target: Target) -> LatencyStd:
    """The standard deviation of one inference's latency, of a device with a table of measured deviations.

    Raises InputError for a device whose latency was fitted.
    """
    device, latency = known_latency(target)
    if not isinstance(latency, LatencyTable):
        raise InputError(
            f"device {device.name!r} has no standard deviations of latency: its model was fitted to whole "
            f"subnets, with a median error of {latency.error_percent:g} %; an imported table has them"
        )
    return latency_std(latency, target.supernet, device.name)


def known_latency(target: Target) -> tuple[Device, LatencyModel | LatencyTable]:
    """A target's device and its model or table. Raises InputError where there is none that fits."""
    device = target.device
    if device is None:
        raise InputError("latency_ms needs a device: give --device host to measure and use this machine")
    if device.latency is None:
        raise InputError(
            f"device {device.name!r} has no latency model: --device host fits one for this machine, and "
            "base: host in the device's file, in place of runtime and threads, takes that one with the file's "
            "own region and power"
        )
    check_space(device.latency, target.supernet, device.name)
    return device, device.latency


def check_space(latency: LatencyModel | LatencyTable, supernet: Supernet, device: str) -> None:
    """Raises InputError where the model was fitted, or the table measured, for another network."""
    if latency.fingerprint != supernet.fingerprint:
        what = "table" if isinstance(latency, LatencyTable) else "model"
        was = "measured" if isinstance(latency, LatencyTable) else "fitted"
        raise InputError(
            f"the latency {what} of device {device!r} was {was} for the network of {latency.supernet} "
            f"({latency.fingerprint}), not for that of {supernet.name} ({supernet.fingerprint}); "
            f"in a search, device: host or --device host measures this machine for {supernet.name}; "
            f"oncefit profile NAME --supernet {supernet.name} makes another device for it; "
            f"oncefit device NAME --supernet {latency.supernet} shows the device for its own supernet"
        )


def check_fitted_resolutions(supernet: Supernet, device: str) -> None:
    """Raises InputError for resolutions that a supernet takes though no model was fitted to any: it would extrapolate."""
    for dimension, whole in zip(supernet.space.dimensions, supernet.family.space.dimensions, strict=True):
        foreign = [str(choice) for choice in dimension.choices if choice not in whole.choices]
        if foreign:
            known = [choice for choice in dimension.choices if choice in whole.choices] or list(
                whole.choices[:1]
            )
            raise InputError(
                f"the latency model of device {device!r} was fitted to subnets at {dimension.name} {whole.choices[0]} to "
                f"{whole.choices[-1]}, and nothing is known of it at {', '.join(foreign)}. Leave the device out and search by "
                "macs (an exported bundle is timed here), or keep to what was measured: space: "
                f"{{{dimension.name}: [{', '.join(map(str, known))}]}}"
            )


def layer_ms(model: LatencyModel, layer: Layer, device: str) -> float:
    """Milliseconds of one layer. Raises InputError for a layer of a kind that was never measured."""
    total = 0.0
    for feature, amount in features(layer).items():
        price = model.coefficients.get(feature, model.coefficients.get(whatever_size(feature)))
        if price is None:
            raise InputError(
                f"the latency model of device {device!r} has no coefficient {feature!r}, which layer "
                f"{layer.name} ({layer.op}) needs: the subnets it was fitted to had none; fit it anew"
            )
        total += price * amount
    return total
