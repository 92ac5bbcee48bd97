"""Supernets that begin with another's weights: heads, channels, and a step of OFA's own at a small resolution."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from supernet.archs.arch import Arch
from supernet.families.catalog import open_supernet
from supernet.training.adapting import first_convolution, for_channels, put_into
from supernet.training.elastic_batches import ElasticBatch
from supernet.training.elastic_training import ElasticLearner
from supernet.training.heads import ClassMatch
from supernet.training.processes import Processes
from supernet.training.recipes import read_adapting_recipe

CPU = Processes(torch.device("cpu"))


@pytest.mark.parametrize("name", ["ofa_mbv3_w1.0", "ofa_proxyless_w1.3", "ofa_resnet50"])
def test_an_imagenet_supernet_takes_a_step_on_other_classes(name: str) -> None:
    """Random weights, 32 pixels: row 1 of the new head is that of the class that is kept, and a step changes all that ran."""
    source = open_supernet(name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        given: Any = source.family.elastic()
        after = (source.classes[7], "an ant")
        target = source.of_classes(after).restricted({"resolution": (32,)})
        net: Any = target.family.elastic()
        images, labels = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 1, 0])
    put_into(replace(source, net=given), net, ClassMatch(source.classes, after))
    [head] = [
        key for key in net.state_dict() if key.endswith("weight") and net.state_dict()[key].shape[0] == 2
    ]
    torch.testing.assert_close(net.state_dict()[head][0], given.state_dict()[head][7], rtol=0, atol=0)
    before = {key: tensor.clone() for key, tensor in net.named_parameters()}
    space = target.space
    learner = ElasticLearner.begun(net, read_adapting_recipe(None, {"ema_decay": 0}), CPU, Path("none"), None)
    archs: tuple[Arch, ...] = (space.largest(), space.smallest())
    learner.learn(ElasticBatch(archs, {32: images}, labels), 0.05)
    assert learner.losses[0] > 0
    still = [key for key, tensor in net.named_parameters() if torch.equal(tensor, before[key])]
    assert len(still) < 0.1 * len(before), "kernels of blocks that ran at their largest alone, and few more"
    subnet = net.extract(space.smallest())
    assert subnet(images).shape == (4, 2)


def test_the_first_layer_gives_grey_images_the_answers_that_it_gave() -> None:
    weight, x = torch.randn(4, 3, 3, 3), torch.randn(2, 1, 8, 8)
    for given, wanted in ((weight, 1), (weight.sum(1, keepdim=True), 3)):
        adapted = for_channels(given, wanted)
        assert adapted.shape == (4, wanted, 3, 3)
        torch.testing.assert_close(
            torch.conv2d(x.expand(-1, wanted, -1, -1), adapted),
            torch.conv2d(x.expand(-1, given.shape[1], -1, -1), given),
            rtol=1e-4, atol=1e-4,
        )  # fmt: skip
    assert for_channels(weight, 3) is weight


def test_a_network_without_a_convolution_has_no_first_layer_to_change() -> None:
    assert first_convolution(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))) is None
    net = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 4, 3))
    assert first_convolution(net) == "1"
