"""Blocks and layers built from the walk alone compute, put together, what the static network computes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cost_models.published_tables import grouped
from supernet import documents
from supernet.arch import Arch
from supernet.catalog import Supernet, open_supernet
from supernet.layer_networks import LayersNet

SMALL = {"ofa_resnet50": 128}
"""Resolutions of the supernets whose networks are large."""


def pieces(net: Supernet, arch: Arch) -> nn.Sequential:
    """Every block and layer as a network of its own, one after the other."""
    return nn.Sequential(*(LayersNet(layers) for _, layers in grouped(net.layers(arch)))).eval()


def some_archs(net: Supernet) -> list[Arch]:
    size = SMALL.get(net.name, min(net.space.by_name["resolution"].choices))
    part = net.restricted({"resolution": [size]})
    drawn = part.space.decode(part.space.sample(2, np.random.default_rng(3)))
    return [part.space.smallest(), part.space.largest(), *drawn]


def weighted(module: nn.Module) -> list[nn.Module]:
    """Convolutions, batch norms and linear layers in the order in which they run on random images."""
    return [part for part in module.modules() if isinstance(part, nn.Conv2d | nn.BatchNorm2d | nn.Linear)]


def as_run(subnet: nn.Module, images: Tensor) -> list[nn.Module]:
    ran: list[nn.Module] = []
    handles = [
        part.register_forward_pre_hook(lambda module, given: ran.append(module)) for part in weighted(subnet)
    ]
    subnet(images)
    for handle in handles:
        handle.remove()
    return ran


def copied(source: Sequence[nn.Module], target: Sequence[nn.Module]) -> None:
    for one, other in zip(source, target, strict=True):
        other.load_state_dict(one.state_dict(), strict=isinstance(one, nn.Linear))
        if isinstance(one, nn.BatchNorm2d):
            other.eps = one.eps


@pytest.mark.parametrize("name", documents.names("supernets"))
@torch.inference_mode()
def test_pieces_put_together_are_the_subnet(name: str) -> None:
    """With its weights they give its logits; the shortcut of a bottleneck runs last there and first here."""
    net = open_supernet(name)
    for arch in some_archs(net):
        torch.manual_seed(0)
        subnet = net.family.static(arch)
        images = torch.randn(2, net.layers(arch)[0].in_channels, arch.resolution, arch.resolution)
        subnet.train()(images)  # statistics that are not all alike
        subnet.eval()
        made = pieces(net, arch)
        copied(in_order_of_the_walk(as_run(subnet, images), net, arch), as_run(made, images))
        expected = subnet(images)
        assert made(images).shape == expected.shape
        assert torch.allclose(
            made(images).flatten(1), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max())
        )


def in_order_of_the_walk(ran: Sequence[nn.Module], net: Supernet, arch: Arch) -> list[nn.Module]:
    """Modules as they ran, with the convolution of a shortcut and its batch norm before those of its block."""
    left, found = list(ran), []
    for layer in net.layers(arch):
        if layer.op not in ("conv", "depthwise", "linear"):
            continue
        shape = (layer.out_channels, 1 if layer.op == "depthwise" else layer.in_channels)
        at = next(i for i, part in enumerate(left) if tuple(part.weight.shape[:2]) == shape)
        assert at == 0 or "shortcut" in layer.name
        found += left[at : at + 1 + layer.norm]
        del left[at : at + 1 + layer.norm]
    assert left == []
    return found
