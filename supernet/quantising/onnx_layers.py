"""What of a quantised ONNX graph is in 8 bits, and nodes by what they are part of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

LAYERS = ("Conv", "Gemm", "MatMul")
POOLS = ("ReduceMean", "GlobalAveragePool")
QUANTISE, DEQUANTISE = "QuantizeLinear", "DequantizeLinear"
IN_ANY_BITS = ("Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Relu", "Clip", "MaxPool")
"""What changes no value, or only cuts it off: done in 8 bits as it stands."""


@dataclass(frozen=True)
class LayersIn8Bits:
    """Names of layers whose input and weights are in 8 bits, of those that are not, and types of other nodes in float32."""

    quantised: tuple[str, ...]
    in_float: tuple[str, ...]
    other_in_float: Mapping[str, int]


def layers_in_8_bits(path: Path) -> LayersIn8Bits:
    """Of an ONNX file, whose pairs of QuantizeLinear and DequantizeLinear a runtime makes integer arithmetic of."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(path).graph
    makers = {name: node for node in graph.node for name in node.output}
    dtypes = {tensor.name: numpy_helper.to_array(tensor).dtype for tensor in graph.initializer}

    def in_8_bits(value: str) -> bool:
        maker = makers.get(value)
        if maker is None or maker.op_type != DEQUANTISE:
            return False
        source = maker.input[0]
        return (
            dtypes[source] in (np.int8, np.uint8) if source in dtypes else makers[source].op_type == QUANTISE
        )

    layers = {node.name: all(map(in_8_bits, node.input[:2])) for node in graph.node if node.op_type in LAYERS}
    others = Counter(
        node.op_type
        for node in graph.node
        if node.op_type not in (*LAYERS, *IN_ANY_BITS, QUANTISE, DEQUANTISE, "Add", "Mul", "Constant")
    )
    return LayersIn8Bits(
        tuple(name for name, quantised in layers.items() if quantised),
        tuple(name for name, quantised in layers.items() if not quantised),
        dict(others),
    )


def names_of_layers(path: Path) -> tuple[str, ...]:
    """Convolutions and matrix products of an ONNX file in order."""
    import onnx

    return tuple(node.name for node in onnx.load(path).graph.node if node.op_type in LAYERS)


def nodes_of_first_two_convolutions(path: Path) -> tuple[str, ...]:
    """All nodes up to the second convolution; none where there is one convolution alone."""
    import onnx

    nodes = onnx.load(path).graph.node
    places = [place for place, node in enumerate(nodes) if node.op_type == "Conv"]
    return tuple(node.name for node in nodes[: places[1] + 1]) if len(places) > 1 else ()


def depthwise_layers(path: Path) -> tuple[str, ...]:
    """Convolutions of groups: few weights, and few values that a rounding error is averaged over."""
    import onnx

    return tuple(
        node.name
        for node in onnx.load(path).graph.node
        if node.op_type == "Conv" and any(a.name == "group" and a.i > 1 for a in node.attribute)
    )


def squeeze_excite_nodes(path: Path) -> tuple[str, ...]:
    """Nodes of squeeze-and-excite: from the mean over an image to the product that it scales, in the graph's order."""
    import onnx

    graph = onnx.load(path).graph
    makers = {name: node for node in graph.node for name in node.output}
    found: set[str] = set()
    for node in graph.node:
        if node.op_type == "Mul" and len(node.input) == 2 and all(value in makers for value in node.input):
            for value in node.input:
                gate = branch_from_pool(value, makers)
                if gate:
                    found |= {node.name, *gate}
                    break
    return tuple(node.name for node in graph.node if node.name in found)


def branch_from_pool(value: str, makers: Mapping[str, Any]) -> list[str]:
    """Nodes from a mean over an image to ``value``; none where the way back meets no mean within a few nodes."""
    names: list[str] = []
    while value in makers and len(names) < 8:
        node = makers[value]
        names.append(node.name)
        if node.op_type in POOLS:
            return names
        value = node.input[0]
    return []
