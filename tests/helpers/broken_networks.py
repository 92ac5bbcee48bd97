"""The elastic ResNet of the docs with one fault each: what a check of supernets must find."""

from __future__ import annotations

import itertools
from dataclasses import replace

import torch
from torch import nn

from supernet.archs.arch import Arch
from supernet.archs.layers import Layer, Segment
from supernet.archs.space import SearchSpace
from supernet.own_code import import_class
from tests.helpers.paths import ROOT

ElasticResNet = import_class("elastic_resnet:ElasticResNet", ROOT / "docs" / "examples", "the docs' example")


class Whole(ElasticResNet):
    """Without a fault."""


class LossySpace(SearchSpace):
    def from_dict(self, data: object) -> Arch:
        return self.arch({**super().from_dict(data).values, "depth.1": 1})


class LossyArchs(ElasticResNet):
    def __init__(self, **network) -> None:
        super().__init__(**network)
        self.space = LossySpace(self.space.name, self.space.dimensions)


class OtherEachTime(ElasticResNet):
    made = itertools.count(4)

    def __init__(self, widths, **network) -> None:
        super().__init__(widths=(next(self.made), *widths[1:]), **network)


class OneOutputMore(ElasticResNet):
    def __init__(self, classes, **network) -> None:
        super().__init__(classes=[*classes, "other"], **network)


class ExtraBias(ElasticResNet):
    def layers(self, arch):
        first, *rest = super().layers(arch)
        return [replace(first, bias=True), *rest]


class WrongKernel(ElasticResNet):
    def layers(self, arch):
        return [
            replace(layer, kernel=5) if layer.name == "stage2_block1.conv2" else layer
            for layer in super().layers(arch)
        ]


class SkippedNorm(ElasticResNet):
    def layers(self, arch):
        return [
            replace(layer, norm=False) if layer.name == "stage1_block1.conv1" else layer
            for layer in super().layers(arch)
        ]


class ForgottenLayer(ElasticResNet):
    def layers(self, arch):
        return super().layers(arch)[:-1]


class ForgottenRelu(ElasticResNet):
    def layers(self, arch):
        return [replace(layer, act=None) if layer.op == "add" else layer for layer in super().layers(arch)]


class CoarseSegments(ElasticResNet):
    """Its segments know nothing of widths and depths."""

    @property
    def segments(self):
        def all_layers(values) -> tuple[Layer, ...]:
            return tuple(
                self.layers(
                    self.space.arch({**self.space.largest().values, "resolution": values["resolution"]})
                )
            )

        return (Segment("all", ("resolution",), all_layers),)


class LessTheMean(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x - x.mean(0))


class SeesOtherImages(ElasticResNet):
    def network(self, arch):
        return LessTheMean(super().network(arch))


class ForgottenCopy(ElasticResNet):
    def extract(self, arch):
        net = super().extract(arch)
        nn.init.normal_(net.stage2_block1.conv1.conv.weight)
        return net


class ForgottenStatistics(ElasticResNet):
    def extract(self, arch):
        net = super().extract(arch)
        net.stem.bn.reset_running_stats()
        return net


class InTraining(ElasticResNet):
    def extract(self, arch):
        return super().extract(arch).train()


class SharedWeights(ElasticResNet):
    def extract(self, arch):
        net = self.network(arch)
        net.load_state_dict(self.first_entries(net), assign=True)
        return net.eval()


class OtherNames(ElasticResNet):
    def extract(self, arch):
        return nn.Sequential(super().extract(arch)).eval()


class OutsideTheState(ElasticResNet):
    def __init__(self, **network) -> None:
        super().__init__(**network)
        self.shift = torch.randn(())  # no buffer, so that no file holds it

    def extract(self, arch):
        net = super().extract(arch)
        net.classifier.bias.data[0] += self.shift
        return net


class HalfSorted(ElasticResNet):
    def sort_channels(self) -> None:
        with torch.no_grad():
            self.largest.stage1_block1.conv1.conv.weight.copy_(
                self.largest.stage1_block1.conv1.conv.weight.flip(0)
            )


class TwiceForSeveral(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x) * (1 if x.shape[0] == 1 else 2)


class OneImageOnly(ElasticResNet):
    def network(self, arch):
        return TwiceForSeveral(super().network(arch))


class Failing(ElasticResNet):
    def extract(self, arch):
        if arch != self.space.smallest():
            raise KeyError("stage3")
        return super().extract(arch)
