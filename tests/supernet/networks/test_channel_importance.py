"""Which inner channels a narrower subnet keeps: those that a trained model needs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.families import residual
from supernet.making.model_readers import read_model
from supernet.networks import channel_importance
from supernet.networks.calibration import recalibrate
from supernet.networks.channel_importance import InnerChannels, importance, inner_channels
from supernet.networks.inverted_residual_networks import ConvBnAct
from supernet.networks.residual_networks import ElasticResidualNet
from tests.helpers.small_models import small_mobilenet_v3, small_model


def test_groups_of_channels_that_may_change_places() -> None:
    def groups(kind: str) -> list[list[int]]:
        model = small_model(kind)
        network = {"classes": ["a", "b", "c", "d"], "resolutions": [16], "expands": [1.0]}
        net = residual.parse("x", network | read_model(model).network, "x").elastic()
        assert isinstance(net, ElasticResidualNet)
        return [[len(g.writers) for g in inner_channels(b.parts())] for b in net.net.static_residuals()]

    assert groups("basic") == [[1]] * 8
    assert groups("bottleneck") == [[1, 1]] * 8
    # what expands nothing has the channels of the map before it; expand, depthwise and gate go together
    assert groups("mobilenet_v3") == [[], [2], [3], [3], [2], [3]]


def test_importance_by_hand() -> None:
    first, second = ConvBnAct(1, 3, act="relu"), ConvBnAct(3, 2)
    with torch.no_grad():
        first.bn.weight.copy_(torch.tensor([2.0, -1.0, 0.0]))
        second.conv.weight.copy_(torch.tensor([[1.0, -3.0, 9.0], [0.5, 4.0, 9.0]])[:, :, None, None])
    assert importance(InnerChannels((first,), second)).tolist() == [3.0, 7.0, 0.0]


TRAINED_ON = 1200
"""Of 1,797 digits."""


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    """Images (n, 3, 8, 8) around zero, shuffled, and their labels."""
    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    images = torch.tensor(found.images[order], dtype=torch.float32)[:, None] / 8 - 1
    return images.expand(-1, 3, -1, -1), torch.tensor(found.target[order])


@pytest.fixture(scope="module")
def trained(digits: tuple[Tensor, Tensor]) -> nn.Module:
    """A small MobileNetV3, whose maps stay large, that tells digits apart."""
    images, labels = digits
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = small_mobilenet_v3()
        model.features[0][0].stride = model.features[1].block[0][0].stride = (1, 1)
        model.classifier[-1] = nn.Linear(40, 10)
        optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
        for epoch in range(4):
            order = np.random.default_rng(epoch).permutation(TRAINED_ON)
            for places in np.array_split(order, 12):
                optimizer.zero_grad()
                loss = F.cross_entropy(model(images[places]), labels[places])
                torch.autograd.backward(loss)
                optimizer.step()
    return model


def test_narrow_subnets_of_sorted_channels_beat_those_of_unsorted_and_of_the_least_important(
    trained: nn.Module, digits: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels = digits
    network = {"classes": [str(i) for i in range(10)], "resolutions": [8], "expands": [0.5, 0.75, 1.0]}
    reading = read_model(trained)
    family = residual.parse("digits", network | reading.network, "x")
    widest = family.space.largest().values
    narrow = [
        family.space.arch(
            widest
            | {
                d.name: d.choices[min(i, len(d.choices) - 1)]
                for d in family.space.dimensions
                if d.kind == "expand"
            }
        )
        for i in (0, 1)
    ]

    def top1_of(subnet: nn.Module) -> float:
        recalibrate(subnet, images[:TRAINED_ON])
        with torch.no_grad():
            return float((subnet(images).argmax(1) == labels).float().mean())

    def mean_top1(sort: Callable[[ElasticResidualNet], None]) -> float:
        net = family.elastic()
        assert isinstance(net, ElasticResidualNet)
        net.net.load_state_dict(reading.renamed(trained.state_dict()))
        sort(net.eval())
        return sum(top1_of(net.extract(arch)) for arch in narrow) / len(narrow)

    assert top1_of(trained) > 0.9
    in_order, unsorted = mean_top1(ElasticResidualNet.sort_channels), mean_top1(lambda net: None)
    monkeypatch.setattr(channel_importance, "importance", lambda channels: -importance(channels))
    reversed_order = mean_top1(ElasticResidualNet.sort_channels)
    assert in_order > unsorted, (in_order, unsorted, reversed_order)
    assert unsorted > reversed_order + 0.05, (in_order, unsorted, reversed_order)
