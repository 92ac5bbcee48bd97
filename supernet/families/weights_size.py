"""How large the weights of a supernet are, without making any."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Any

import torch

from supernet.families.catalog import Elastic

DTYPE_NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
"""What safetensors calls dtypes."""


def size_of_weights(elastic: Callable[[], Elastic]) -> tuple[int, int]:
    """Trainable parameters of a network with all weights, and bytes of its safetensors file."""
    with torch.device("meta"):
        net: Any = elastic()
    return sum(parameter.numel() for parameter in net.parameters()), bytes_of_safetensors(net.state_dict())


def bytes_of_safetensors(tensors: Mapping[str, torch.Tensor]) -> int:
    """Eight bytes with the header's length, the header in JSON, filled up to a multiple of eight, and the tensors."""
    header = json.dumps(dict(header_entries(tensors)), separators=(",", ":"), ensure_ascii=False)
    return 8 + -(-len(header.encode()) // 8) * 8 + sum(tensor.nbytes for tensor in tensors.values())


def header_entries(tensors: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, dict[str, object]]]:
    """What a header says of each tensor: wide elements come first, and else the order is that of the names."""
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    ends = list(accumulate(tensor.nbytes for _, tensor in ordered))
    for (name, tensor), end in zip(ordered, ends, strict=True):
        offsets = [end - tensor.nbytes, end]
        yield name, {"dtype": DTYPE_NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
