"""Costs that follow from shapes alone: multiply-adds, parameters, peak memory."""

from __future__ import annotations

from cost_models.protocol import CostModel, Target
from cost_models.tables import table_cost

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
        lambda layer: layer.live_elements * BYTES_PER_ELEMENT, combine="max",
    )  # fmt: skip
