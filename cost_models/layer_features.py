"""What the time of a layer is made of, as numbers that a fitted latency has a price for each of.

A feature is named after its kind of layer, what it counts and how large the maps are:
``conv1.work@20``. What it counts decides its price before anything is known of the kind
(:data:`AMOUNTS`); the size lets small maps cost more for the same work than large ones, as
they do on devices that small maps leave idle.
"""

from __future__ import annotations

import math
from itertools import pairwise

from supernet.archs.layers import Layer
from supernet.errors import InputError

CHANNEL_BLOCK = 16
"""ONNX Runtime's convolutions on AVX-512 work on blocks of 16 channels (its NCHWc layout)."""
CONVOLUTIONS = ("conv", "depthwise")
WEIGHTED = (*CONVOLUTIONS, "linear")
MOVERS = ("pool", "add", "scale")
"""Operations without weights, whose work is the elements they read and write."""
AMOUNTS = ("calls", "work", "bytes")
"""What features count: launched kernels, multiply-adds, bytes moved."""
MAP_SIZES = (5, 10, 20, 40, 80)
"""Sides of the maps that a kind's work and bytes have prices at; between two of them prices are interpolated."""
BYTES = 4
"""Of an element in single precision; another precision scales all prices alike."""


def features(layer: Layer) -> dict[str, float]:
    """What a layer's time is made of: one call of its kind, its work, the bytes that it and what follows it move."""
    kind = kind_of(layer)
    found = {f"{kind}.calls": 1.0}
    if layer.op in WEIGHTED:
        found |= at_sizes(f"{kind}.work", work(layer), layer.out_size)
    found |= at_sizes(f"{kind}.bytes", moved(layer), layer.out_size)
    visited = 2.0 * BYTES * layer.out_elements  # each element is read and written
    if layer.norm:
        found |= at_sizes("norm.bytes", visited, layer.out_size)
    if layer.act is not None:
        found |= at_sizes(f"{layer.act}.bytes", visited, layer.out_size)
    return found


def kind_of(layer: Layer) -> str:
    """Operation and kernel; a convolution of one pixel, as in a gate, is a kind of its own."""
    if layer.op == "conv" and layer.out_size == 1:
        return "squeeze"
    return f"{layer.op}{layer.kernel}" if layer.op in CONVOLUTIONS else layer.op


def counted_by(feature: str) -> str:
    """Which of :data:`AMOUNTS` a feature counts."""
    return whatever_size(feature).rpartition(".")[2]


def whatever_size(feature: str) -> str:
    """A feature's name without a size: in a device's file a price for all sizes that have none of their own."""
    return feature.partition("@")[0]


def at_sizes(name: str, amount: float, size: int) -> dict[str, float]:
    """``amount`` as features of the two :data:`MAP_SIZES` around ``size``, by nearness in octaves; no map has no size."""
    if size == 1:
        return {name: amount}
    within = min(max(size, MAP_SIZES[0]), MAP_SIZES[-1])
    low, high = next(pair for pair in pairwise(MAP_SIZES) if within <= pair[1])
    share = math.log(within / low) / math.log(high / low)
    parts = {low: 1 - share, high: share}
    return {f"{name}@{side}": amount * part for side, part in parts.items() if part > 0}


def work(layer: Layer) -> float:
    """Multiply-adds, those of convolutions on padded channels."""
    if layer.op in CONVOLUTIONS:
        inputs = padded(layer.in_channels) if layer.op == "conv" else 1
        return float(inputs * padded(layer.out_channels) * layer.kernel**2 * layer.out_size**2)
    return float(layer.macs)


def moved(layer: Layer) -> float:
    """Bytes of input, output and weights. Raises InputError for an unknown operation."""
    if layer.op not in (*WEIGHTED, *MOVERS):
        known = ", ".join((*WEIGHTED, *MOVERS))
        raise InputError(
            f"layer {layer.name}: no latency is known for operation {layer.op!r}; known: {known}"
        )
    return float(BYTES * (layer.in_elements + layer.out_elements + layer.weights))


def padded(channels: int) -> int:
    return math.ceil(channels / CHANNEL_BLOCK) * CHANNEL_BLOCK
