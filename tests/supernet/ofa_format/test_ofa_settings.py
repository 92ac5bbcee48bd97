"""Archs as ``ofa``'s settings: against its own active subnets, and back again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from supernet.families.catalog import open_supernet
from supernet.ofa_format import matching, net_config
from supernet.ofa_format.settings import from_settings, settings_of_arch
from tests.helpers.imports import HEAVY, loaded_after
from tests.helpers.ofa_settings import OFA_SUPERNETS


@pytest.mark.parametrize("name", OFA_SUPERNETS)
def test_ofa_makes_the_subnet_of_an_arch(name: str) -> None:
    supernet = open_supernet(name)
    space = supernet.space
    with torch.device("meta"):
        net = supernet.family.elastic().net
        for arch in space.decode(space.sample(5, np.random.default_rng(4))):
            net.set_active_subnet(**settings_of_arch(space, arch))
            made = net_config.parse_net_config(net.get_active_subnet(preserve_weight=False).config, "ofa")
            point = matching.arch_of(made, arch.resolution)
            assert point is not None
            # archs may differ in widths of a ResNet that round to the same channels
            assert point[0].layers(point[1]) == supernet.layers(arch)


@pytest.mark.parametrize("name", OFA_SUPERNETS)
def test_settings_are_read_back(name: str) -> None:
    space = open_supernet(name).space
    for arch in space.decode(space.sample(100, np.random.default_rng(5))):
        assert from_settings({**settings_of_arch(space, arch), "r": [arch.resolution]}, space) == arch


def test_depths_and_widths_of_a_resnet_are_counted_as_ofa_does() -> None:
    space = open_supernet("ofa_resnet50").space
    largest, smallest = (settings_of_arch(space, arch) for arch in (space.largest(), space.smallest()))
    assert (largest["d"], largest["w"]) == ([2, 2, 2, 2, 2], [2] * 6)
    assert (smallest["d"], smallest["w"]) == ([0] * 5, [0] * 6)


def test_settings_import_nothing_heavy() -> None:
    assert not loaded_after("import supernet.ofa_format.settings") & HEAVY
