"""Supernets with random weights that make a difference everywhere, so that a wrong one shows in the logits."""

from __future__ import annotations

import torch
from torch import nn

from supernet.catalog import Supernet, open_supernet
from supernet.networks import ElasticNet


def random_supernet(name: str) -> tuple[Supernet, ElasticNet]:
    """A shipped supernet, and its elastic network with seeded weights, in evaluation mode."""
    supernet = open_supernet(name)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        net = supernet.family.elastic().eval()
        randomise(net)
    return supernet, net


def randomise(net: nn.Module) -> None:
    """Statistics and affine terms that differ by channel, and a classifier with an opinion."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.05)
        for name, parameter in module.named_parameters(recurse=False):
            if name.endswith("_matrix"):  # a kernel transform that is not the identity
                nn.init.normal_(parameter, std=parameter.shape[0] ** -0.5)
