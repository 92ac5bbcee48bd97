"""What the time of a layer is made of, as numbers that a fitted latency has a price for each of."""

from __future__ import annotations

import math

from supernet.errors import InputError
from supernet.layers import Layer

CHANNEL_BLOCK = 16
"""ONNX Runtime's convolutions on AVX-512 work on blocks of 16 channels (its NCHWc layout)."""
CONVOLUTIONS = ("conv", "depthwise")
MOVERS = ("pool", "add", "scale")
"""Operations without weights, whose work is the elements they read and write."""


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
