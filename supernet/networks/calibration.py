"""Batch-norm statistics of a subnet, measured anew on calibration images."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from supernet.threads import one_torch_thread


@one_torch_thread()
def recalibrate(subnet: nn.Module, inputs: Tensor, batch_size: int = 100) -> None:
    """Replace the running statistics of every batch norm by those of ``inputs`` (n, c, r, r).

    Mean and variance are averaged over batches of about ``batch_size`` images, of equal
    size so that each image counts the same. Leaves the subnet in eval mode.
    """
    recalibrate_on_batches(subnet, inputs.tensor_split(math.ceil(len(inputs) / batch_size)))


@torch.no_grad()
def recalibrate_on_batches(subnet: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the running statistics of every batch norm by the plain average of those of each batch.

    The weights that a subnet shares have seen other subnets' statistics (Yu & Huang,
    ICCV 2019). Leaves the subnet in eval mode.
    """
    norms = [m for m in subnet.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    subnet.eval()
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain average over batches
            norm.train()
        for batch in batches:
            subnet(batch)
    finally:
        subnet.eval()
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
