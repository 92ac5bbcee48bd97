"""How large the weights of a supernet are, without making any."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from safetensors.torch import save

from supernet.catalog import Elastic


def size_of_weights(elastic: Callable[[], Elastic]) -> tuple[int, int]:
    """Trainable parameters of a network with all weights, and bytes of its safetensors file."""
    with torch.device("meta"):
        net: Any = elastic()
    net = net.to_empty(device="cpu")
    return sum(parameter.numel() for parameter in net.parameters()), len(save(net.state_dict()))
