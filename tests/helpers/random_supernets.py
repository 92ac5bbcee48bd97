"""Supernets with random weights that make a difference everywhere, so that a wrong one shows in the logits."""

from __future__ import annotations

import torch

from supernet.conformance.subject import randomise
from supernet.families.catalog import Supernet, open_supernet
from supernet.networks.inverted_residual_networks import ElasticNet


def random_supernet(name: str) -> tuple[Supernet, ElasticNet]:
    """A shipped supernet, and its elastic network with seeded weights, in evaluation mode."""
    supernet = open_supernet(name)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        net = supernet.family.elastic().eval()
        randomise(net)
    return supernet, net
