"""Costs that follow from shapes alone: multiply-adds, parameters, peak memory."""

from __future__ import annotations

from collections.abc import Sequence

from cost_models.protocol import CostModel, Target
from cost_models.tables import table_cost
from supernet.archs.layers import Layer

BYTES_PER_ELEMENT = 4
"""float32."""


def macs(target: Target) -> CostModel:
    """Multiply-adds of one inference, as the OFA paper counts them (half of what others call FLOPs)."""
    return table_cost("macs", target.supernet.space, target.supernet.segments, lambda layer: layer.macs)


def params(target: Target) -> CostModel:
    """Trainable parameters."""
    return table_cost("params", target.supernet.space, target.supernet.segments, lambda layer: layer.params)


def peak_memory_bytes(target: Target) -> CostModel:
    """Largest sum of live activations in float32 at batch 1: input, output and held tensors of a layer.

    Norms and activations run in place; weights are not counted (they are ``params`` x 4).
    """
    return table_cost(
        "peak_memory_bytes", target.supernet.space, target.supernet.segments,
        live_bytes, combine="max",
    )  # fmt: skip


def live_bytes(layer: Layer) -> int:
    """Activations in float32 that are alive while a layer runs at batch 1."""
    return layer.live_elements * BYTES_PER_ELEMENT


def of_layers(layers: Sequence[Layer]) -> dict[str, int]:
    """The three costs of one network from its layers, for a network that is a point of no space."""
    return {
        "macs": sum(layer.macs for layer in layers),
        "params": sum(layer.params for layer in layers),
        "peak_memory_bytes": max(live_bytes(layer) for layer in layers),
    }
