"""Weights under ``ofa``'s names: its own static networks load them strictly, answer alike, and give them back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from supernet.families.catalog import Supernet
from supernet.networks.ofa_names import in_ofa_names, in_our_names
from tests.helpers.ofa_settings import OFA_SUPERNETS, settings
from tests.helpers.random_supernets import random_supernet
from tests.supernet.families.test_families import SIDE, sample


@pytest.fixture(scope="module", params=OFA_SUPERNETS)
def pair(request: pytest.FixtureRequest) -> tuple[Supernet, nn.Module]:
    return random_supernet(request.param)


@torch.no_grad()
def test_ofas_static_network_loads_them_strictly_and_answers_alike(pair: tuple[Supernet, nn.Module]) -> None:
    supernet, net = pair
    images = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    for arch in sample(supernet, 2, seed=6):
        net.net.set_active_subnet(**settings(supernet.space, arch))
        theirs = net.net.get_active_subnet(preserve_weight=False).eval()
        theirs.set_bn_param(**net.net.get_bn_param())
        subnet = net.extract(arch)
        theirs.load_state_dict(in_ofa_names(subnet), strict=True)
        torch.testing.assert_close(theirs(images), subnet(images), rtol=0, atol=1e-5)


@torch.no_grad()
def test_what_ofas_network_has_learned_comes_back(pair: tuple[Supernet, nn.Module]) -> None:
    supernet, net = pair
    arch = supernet.space.middle()
    net.net.set_active_subnet(**settings(supernet.space, arch))
    theirs = net.net.get_active_subnet(preserve_weight=True).eval()
    for tensor in theirs.state_dict().values():
        if tensor.is_floating_point():
            tensor.mul_(1.01)
    ours = net.extract(arch)
    state = in_our_names(theirs.state_dict(), ours)
    ours.load_state_dict(state, strict=True)
    images = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(ours(images), theirs(images), rtol=0, atol=1e-5)
    assert all(torch.equal(in_our_names(in_ofa_names(ours), ours)[name], state[name]) for name in state)
    assert set(in_our_names(ours.state_dict(), ours)) == set(state)  # our names stay


def test_ofas_old_name_of_a_blocks_convolutions_is_known(pair: tuple[Supernet, nn.Module]) -> None:
    supernet, net = pair
    subnet = net.extract(supernet.space.smallest())
    old = {name.replace(".conv.inv", ".mobile_inverted_conv.inv").replace(".conv.depth", ".mobile_inverted_conv.depth")
           .replace(".conv.point", ".mobile_inverted_conv.point"): x for name, x in in_ofa_names(subnet).items()}  # fmt: skip
    assert any(".mobile_inverted_conv." in name for name in old) == (supernet.name != "ofa_resnet50")
    assert set(in_our_names(old, subnet)) == set(subnet.state_dict())
