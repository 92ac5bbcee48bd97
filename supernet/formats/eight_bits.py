"""Whether the weights of a model file are in 8 bits, told by the types and bytes of its tensors, whatever it is called."""

from __future__ import annotations

from pathlib import Path

from supernet.bundles.bundle import Disagreement
from supernet.sizes.registry import read_model_file
from supernet.sizes.stored_tensor import StoredTensor

IN_8_BITS = ("int8", "uint8", "qint8", "quint8")
LEAST_IN_8_BITS = 0.5
"""Of weights, what has to be in 8 bits: layers may be left in float32, but not most of a network."""


def require_8_bits(name: str, path: Path, float32: Path) -> float:
    """The share of weights in 8 bits. Raises Disagreement where it is small, or they take no less than in ``float32``."""
    matrices = [tensor for tensor in read_model_file(path).tensors if has_two_sides(tensor)]
    total = sum(tensor.elements for tensor in matrices)
    share = sum(tensor.elements for tensor in matrices if tensor.dtype in IN_8_BITS) / max(total, 1)
    taken, before = stored_bytes(path), stored_bytes(float32)
    if share < LEAST_IN_8_BITS or taken >= before:
        raise Disagreement(
            f"{path}: the format {name} is not in 8 bits: {100 * share:.0f} % of its weights are (needed: "
            f"{100 * LEAST_IN_8_BITS:.0f} %), and its tensors take {taken:,} bytes where {before:,} are those of float32; "
            "convert the bundle again"
        )
    return share


def has_two_sides(tensor: StoredTensor) -> bool:
    """Weights are matrices, or more; scales and biases have one side that is longer than 1."""
    return sum(side > 1 for side in tensor.shape) >= 2


def stored_bytes(path: Path) -> int:
    return sum(tensor.stored_bytes for tensor in read_model_file(path).tensors)
