"""The supernet that docs/cifar10.md trains spans the budgets that it is for."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from supernet.families.catalog import Supernet, open_supernet
from tests.helpers.paths import ROOT

MOST_MACS = 40e6


@pytest.fixture(scope="module")
def cifar10() -> Supernet:
    return open_supernet(str(ROOT / "docs/examples/cifar10_resnet.yaml"))


def test_its_largest_subnet_is_small_and_its_smallest_a_sixth_of_that(cifar10: Supernet) -> None:
    """Multiply-adds counted from the subnets themselves, by their convolutions and the classifier."""
    largest, smallest = (counted_macs(cifar10, end) for end in ("largest", "smallest"))
    assert largest <= MOST_MACS
    assert smallest <= largest / 6


def counted_macs(supernet: Supernet, end: str) -> int:
    arch = getattr(supernet.space, end)()
    net, found = supernet.family.static(arch).eval(), []

    def count(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        found.append(weight[0].numel() * output[0].numel())

    for layer in net.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        net(torch.zeros(1, 3, arch.resolution, arch.resolution))
    assert sum(found) == sum(layer.macs for layer in supernet.layers(arch))
    return sum(found)
