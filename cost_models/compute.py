"""Costs that follow from shapes, and from how many bits an element has: multiply-adds, parameters, memory."""

from __future__ import annotations

from collections.abc import Sequence

from cost_models.protocol import Target
from cost_models.tables import TableCost, table_cost
from supernet.archs.arch import BITS_OF, INT8
from supernet.archs.layers import Layer

BYTES_PER_ELEMENT = 4
"""float32."""
BIAS_BYTES = 4
"""In float32, and in int8, where a bias has 32 bits."""
QUANTISED_WEIGHT_BYTES, QUANTISED_BIAS_BYTES = 5, 8
"""Of an output channel in int8: scale and zero point of its weights, in 32 and 8 bits, and of its bias, in 32 each."""


def macs(target: Target) -> TableCost:
    """Multiply-adds of one inference, as the OFA paper counts them (half of what others call FLOPs)."""
    return table_cost("macs", target.supernet.space, target.supernet.segments, lambda layer: layer.macs)


def params(target: Target) -> TableCost:
    """Trainable parameters."""
    return table_cost("params", target.supernet.space, target.supernet.segments, lambda layer: layer.params)


def peak_memory_bytes(target: Target) -> TableCost:
    """Largest sum of live activations at batch 1, of the precision's bits: input, output and held tensors of a layer.

    Norms and activations run in place; weights are not counted (they are ``weights_bytes``).
    """
    size = BITS_OF[target.precision] // 8
    return table_cost(
        "peak_memory_bytes", target.supernet.space, target.supernet.segments,
        lambda layer: layer.live_elements * size, combine="max",
    )  # fmt: skip


def live_bytes(layer: Layer) -> int:
    """Activations in float32 that are alive while a layer runs at batch 1."""
    return layer.live_elements * BYTES_PER_ELEMENT


def weights_bytes(target: Target) -> TableCost:
    """Weights and biases as they are deployed, batch norms folded into them; in int8 with their scales and zero points."""
    precision = target.precision
    return table_cost(
        "weights_bytes", target.supernet.space, target.supernet.segments,
        lambda layer: layer_bytes(layer, precision),
    )  # fmt: skip


def layer_bytes(layer: Layer, precision: str) -> int:
    """Bytes of a layer's weights, and of the bias that it has, or that its batch norm leaves it."""
    if not layer.weights:
        return 0
    has_bias = layer.bias or layer.norm
    of_channel = has_bias * BIAS_BYTES
    if precision == INT8:
        of_channel += QUANTISED_WEIGHT_BYTES + has_bias * QUANTISED_BIAS_BYTES
    return layer.weights * BITS_OF[precision] // 8 + layer.out_channels * of_channel


def of_layers(layers: Sequence[Layer]) -> dict[str, int]:
    """The three costs of one network from its layers, for a network that is a point of no space."""
    return {
        "macs": sum(layer.macs for layer in layers),
        "params": sum(layer.params for layer in layers),
        "peak_memory_bytes": max(live_bytes(layer) for layer in layers),
    }
