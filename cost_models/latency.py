"""Latency of a subnet on a device: by a published table, or a sum over layers fitted to measured subnets.

In the fitted model each layer costs a constant for its kind, a price for its work and one for its
activation function; the prices are the non-negative least squares of relative
errors (Lawson & Hanson, 1974). Where two features always come together (a gate's pool
and its convolutions) one of them may carry the price of both. A sum over layers is exact in lookup tables, so a
search gets the latency of whole populations and its exact reach.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from cost_models.latency_tables import LatencyStd, LatencyTable, latency_cost, latency_std
from cost_models.profiling import LatencyMeasurement
from cost_models.protocol import Target
from cost_models.tables import TableCost, table_cost
from supernet.arch import Arch
from supernet.arrays import Floats
from supernet.catalog import Supernet
from supernet.documents import Document
from supernet.errors import InputError
from supernet.layers import Layer

if TYPE_CHECKING:
    from cost_models.devices import Device

CHANNEL_BLOCK = 16
"""ONNX Runtime's convolutions on AVX-512 work on blocks of 16 channels (its NCHWc layout)."""
CONVOLUTIONS = ("conv", "depthwise")
MOVERS = ("pool", "add", "scale")
"""Operations without weights, whose work is the elements they read and write."""
FOLDS = 8
FOLD_SEED = 0
SIGNIFICANT_DIGITS = 6


class LatencyModel(Document):
    """What was fitted, to what, and how well; coefficients are milliseconds per unit of a feature.

    ``error_percent`` is the median absolute relative error of subnets that the fit had not
    seen, by cross-validation; ``spread_percent`` how much slower the median round of
    measurements was than the quietest, median over the subnets: the state of the machine.
    """

    kind: Literal["layer_sum"] = "layer_sum"
    supernet: str
    fingerprint: str
    intercept_ms: float = Field(ge=0)
    coefficients: dict[str, float]
    subnets: int
    error_percent: float
    folds: int
    spread_percent: float
    settings: dict[str, str | int | float] = {}


def latency_ms(target: Target) -> TableCost:
    """Milliseconds of one inference at batch 1, by the device's latency model or its table."""
    device, latency = known_latency(target)
    supernet = target.supernet
    if isinstance(latency, LatencyTable):
        return latency_cost(latency, supernet, device.name)
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
            f"device {device.name!r} has no latency model: --device host fits one for this machine, "
            "and a path to a fitted device's YAML file uses that one"
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
            f"oncefit device NAME --supernet {latency.supernet} shows the device for its own supernet"
        )


def layer_ms(model: LatencyModel, layer: Layer, device: str) -> float:
    """Milliseconds of one layer. Raises InputError for a layer of a kind that was never measured."""
    total = 0.0
    for feature, amount in features(layer).items():
        if feature not in model.coefficients:
            raise InputError(
                f"the latency model of device {device!r} has no coefficient {feature!r}, which layer "
                f"{layer.name} ({layer.op}) needs: the subnets it was fitted to had none; fit it anew"
            )
        total += model.coefficients[feature] * amount
    return total


def features(layer: Layer) -> dict[str, float]:
    """What a layer's time is made of: one call of its kind, its work, the elements its activation visits."""
    kind = f"{layer.op}{layer.kernel}" if layer.op in CONVOLUTIONS else layer.op
    found = {f"{kind}.calls": 1.0, f"{kind}.work": work(layer)}
    if layer.act is not None:
        found[f"{layer.act}.elements"] = float(layer.out_elements)
    return found


def work(layer: Layer) -> float:
    """Multiply-adds on padded channels, or elements moved. Raises InputError for an unknown operation."""
    if layer.op in CONVOLUTIONS:
        inputs = padded(layer.in_channels) if layer.op == "conv" else 1
        return float(inputs * padded(layer.out_channels) * layer.kernel**2 * layer.out_size**2)
    if layer.op == "linear":
        return float(layer.macs)
    if layer.op in MOVERS:
        return float(layer.in_elements + layer.out_elements)
    known = ", ".join((*CONVOLUTIONS, "linear", *MOVERS))
    raise InputError(f"layer {layer.name}: no latency is known for operation {layer.op!r}; known: {known}")


def padded(channels: int) -> int:
    return math.ceil(channels / CHANNEL_BLOCK) * CHANNEL_BLOCK


def fit(
    supernet: Supernet,
    archs: Sequence[Arch],
    measured: Sequence[LatencyMeasurement],
    settings: Mapping[str, str | int | float] | None = None,
) -> LatencyModel:
    """The latency model of the quietest rounds of measured subnets, with its cross-validated error."""
    names, amounts = feature_table(supernet, archs)
    times = np.array([m.low_ms for m in measured])
    prices = solve(amounts, times)
    rounded = [float(f"{price:.{SIGNIFICANT_DIGITS}g}") for price in prices]
    folds = min(FOLDS, len(archs))
    return LatencyModel(
        supernet=supernet.name,
        fingerprint=supernet.fingerprint,
        intercept_ms=rounded[-1],
        coefficients=dict(zip(names, rounded[:-1], strict=True)),
        subnets=len(archs),
        error_percent=round(100 * float(np.median(held_out_errors(amounts, times, folds))), 2),
        folds=folds,
        spread_percent=round(100 * float(np.median([m.spread for m in measured])), 2),
        settings=dict(settings or {}),
    )


def feature_table(supernet: Supernet, archs: Sequence[Arch]) -> tuple[list[str], Floats]:
    """Names of the features, and their sums over the layers of each arch with a last column of ones."""
    rows: list[dict[str, float]] = []
    for arch in archs:
        row: dict[str, float] = {}
        for layer in supernet.layers(arch):
            for name, amount in features(layer).items():
                row[name] = row.get(name, 0.0) + amount
        rows.append(row)
    names = sorted({name for row in rows for name in row})
    return names, np.array([[row.get(name, 0.0) for name in names] + [1.0] for row in rows])


def solve(amounts: Floats, times_ms: Floats) -> Floats:
    """Non-negative prices of the columns of ``amounts`` (n, features) that minimise relative errors."""
    from scipy.optimize import nnls

    relative = amounts / times_ms[:, None]
    scale = relative.max(axis=0)
    scale[scale == 0] = 1.0
    prices, _ = nnls(relative / scale, np.ones(len(times_ms)))
    return np.asarray(prices / scale, dtype=np.float64)


def held_out_errors(amounts: Floats, times_ms: Floats, folds: int) -> Floats:
    """Absolute relative error of each subnet by a fit to the other folds, shape (n,)."""
    order = np.random.default_rng(FOLD_SEED).permutation(len(times_ms))
    errors = np.empty(len(times_ms))
    for held in np.array_split(order, folds):
        kept = np.setdiff1d(order, held)
        prices = solve(amounts[kept], times_ms[kept])
        errors[held] = np.abs(amounts[held] @ prices / times_ms[held] - 1)
    return errors
