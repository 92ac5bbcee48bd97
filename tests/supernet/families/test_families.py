"""Every shipped supernet: its space and its subnets against ``ofa``; what all supernets must do is in test_check_supernet.py."""

from __future__ import annotations

import copy
import threading

import numpy as np
import pytest
import torch
from torch import nn

from cost_models.protocol import Target
from cost_models.registry import build
from supernet import documents
from supernet.archs.arch import Arch
from supernet.errors import InputError
from supernet.families.catalog import FAMILIES, Supernet, label_names, open_supernet
from supernet.networks.folding import folded
from tests.cost_models.test_peak_memory import peak_bytes
from tests.helpers.ofa_settings import OFA_SUPERNETS, settings
from tests.helpers.random_supernets import random_supernet

SUPERNETS = documents.names("supernets")
SIDE = 64
"""Pixels of the images that logits are compared on: the networks take any size."""


def sample(supernet: Supernet, n: int, seed: int) -> list[Arch]:
    space = supernet.space
    return [space.largest(), space.smallest(), *space.decode(space.sample(n, np.random.default_rng(seed)))]


@pytest.fixture(scope="module", params=OFA_SUPERNETS)
def pair(request: pytest.FixtureRequest) -> tuple[Supernet, nn.Module]:
    return random_supernet(request.param)


def test_every_family_has_a_shipped_supernet() -> None:
    used = {documents.load(documents.find("supernets", name))["family"] for name in SUPERNETS}
    assert used == set(FAMILIES) - {
        "residual"
    }  # which a user makes of a model; tests/supernet/making/test_from_model.py has it
    assert set(OFA_SUPERNETS) < set(SUPERNETS)


@pytest.mark.parametrize("name", SUPERNETS)
def test_peak_memory_is_what_the_life_of_tensors_says(name: str) -> None:
    supernet = open_supernet(name).restricted(
        {"resolution": open_supernet(name).space.dimensions[0].choices[:2]}
    )
    cost = build("peak_memory_bytes", Target(supernet))
    for arch in sample(supernet, 3, seed=4):
        image = torch.zeros(1, supernet.layers(arch)[0].in_channels, arch.resolution, arch.resolution)
        assert cost(arch) == peak_bytes(supernet.family.static(arch).eval(), image), arch


@torch.no_grad()
def test_an_extracted_subnet_gives_the_logits_of_ofa(pair: tuple[Supernet, nn.Module]) -> None:
    supernet, net = pair
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    images = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    for arch in sample(supernet, 20, seed=6):
        net.net.set_active_subnet(**settings(supernet.space, arch))
        expected = net.net(images)
        subnet = net.extract(arch)
        assert float(expected.std()) > 0.01
        torch.testing.assert_close(subnet(images), expected, rtol=0, atol=1e-5)
        torch.testing.assert_close(folded(subnet)(images), expected, rtol=0, atol=1e-4)
    after = net.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@torch.no_grad()
def test_a_supernet_runs_its_subnets_as_ofa_does(pair: tuple[Supernet, nn.Module]) -> None:
    """Without its active state; in training as well, where batch norms take the batch's statistics."""
    supernet, whole = pair
    net = copy.deepcopy(whole)
    images = torch.randn(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    for arch in [supernet.space.largest(), *sample(supernet, 3, seed=7)]:
        net.net.set_active_subnet(**settings(supernet.space, arch))
        for training in (False, True):
            net.train(training)
            expected = net.net(images)
            net.net.set_active_subnet(**settings(supernet.space, supernet.space.smallest()))
            torch.testing.assert_close(net(images, arch.values), expected, rtol=1e-4, atol=1e-4)
            net.net.set_active_subnet(**settings(supernet.space, arch))


@torch.no_grad()
def test_sorted_channels_leave_the_largest_as_it_was(pair: tuple[Supernet, nn.Module]) -> None:
    supernet, whole = pair
    net = copy.deepcopy(whole)
    net.sort_channels()
    images = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    largest, smallest = supernet.space.largest().values, supernet.space.smallest().values
    torch.testing.assert_close(net(images, largest), whole(images, largest), rtol=1e-3, atol=1e-3)
    assert not torch.allclose(net(images, smallest), whole(images, smallest), atol=1e-2)


@torch.no_grad()
def test_what_is_done_to_a_subnet_leaves_the_supernet_alone(pair: tuple[Supernet, nn.Module]) -> None:
    supernet, net = pair
    arch = supernet.space.middle()
    images = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    expected = net.extract(arch)(images)
    spoilt = net.extract(arch)
    for tensor in spoilt.state_dict().values():
        tensor.zero_()
    assert torch.equal(net.extract(arch)(images), expected)


@torch.no_grad()
def test_threads_that_extract_at_once_do_not_disturb_each_other(pair: tuple[Supernet, nn.Module]) -> None:
    supernet, net = pair
    archs = sample(supernet, 2, seed=8)
    expected = [net.extract(arch).state_dict() for arch in archs]
    wrong: list[str] = []

    def extract(arch: Arch, state: dict[str, torch.Tensor]) -> None:
        for _ in range(3):
            found = net.extract(arch).state_dict()
            wrong.extend(name for name in state if not torch.equal(found[name], state[name]))

    threads = [threading.Thread(target=extract, args=pair) for pair in zip(archs, expected, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_ids_of_ofa_open_the_same_supernets() -> None:
    ids = {
        "ofa_mbv3_d234_e346_k357_w1.0": "ofa_mbv3_w1.0",
        "ofa_mbv3_d234_e346_k357_w1.2": "ofa_mbv3_w1.2",
        "ofa_proxyless_d234_e346_k357_w1.3": "ofa_proxyless_w1.3",
        "ofa_resnet50": "ofa_resnet50",
    }
    for theirs, ours in ids.items():
        assert open_supernet(theirs) is open_supernet(ours)


@pytest.mark.parametrize("name", OFA_SUPERNETS)
def test_resolutions_are_those_of_ofa(name: str) -> None:
    assert open_supernet(name).space.by_name["resolution"].choices == tuple(range(128, 225, 4))


def test_labels_are_those_of_torchvision() -> None:
    from torchvision.models import ResNet50_Weights

    assert label_names("imagenet") == tuple(ResNet50_Weights.IMAGENET1K_V1.meta["categories"])


def test_a_restricted_supernet_is_the_same_network_with_fewer_choices() -> None:
    whole = open_supernet("ofa_mbv3_w1.2")
    part = whole.restricted({"resolution": (160, 224), "kernel": (3, 7), "depth.2": (2,)})
    assert part.fingerprint == whole.fingerprint
    assert part.space.by_name["resolution"].choices == (160, 224)
    assert part.space.by_name["kernel.4.2"].choices == (3, 7)
    assert part.space.by_name["depth.1"].choices == (2, 3, 4)
    codes = part.space.sample(50, np.random.default_rng(0))
    archs = part.space.decode(codes)
    assert all(whole.space.arch(arch.values) == arch for arch in archs)
    assert all("kernel.2.3" not in arch.values for arch in archs)
    cost, full = build("macs", Target(part)), build("macs", Target(whole))
    assert (cost.batch(codes) == full.batch(whole.space.encode(archs))).all()
    assert part.space.size < whole.space.size


@pytest.mark.parametrize(
    ("only", "said"),
    [
        ({"resolutoin": (160,)}, "Did you mean 'resolution'"),
        ({"resolution": (1161,)}, r"resolution \[1161\]; allowed: \[128, 132"),
        ({"kernel": (3,), "kernel.1.1": (5,)}, "leaves no choice for kernel.1.1"),
    ],
)
def test_a_wrong_restriction_says_what_is_allowed(only: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        _ = open_supernet("ofa_mbv3_w1.2").restricted(only).space
