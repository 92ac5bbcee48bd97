"""The supernets of the ``ofa`` package, whose subnets are cut out without touching their active state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from supernet.archs.arch import Arch, Choice
from supernet.networks import inverted_residuals
from supernet.networks.inverted_residual_networks import (
    ConvBnAct,
    Mix,
    Subnet,
    copy_block,
    copy_norm,
    run_elastic_block,
)
from supernet.networks.inverted_residuals import MobileNetV3Spec

if TYPE_CHECKING:  # untyped: what is read of them is Any
    from ofa.imagenet_classification.elastic_nn.modules.dynamic_layers import DynamicConvLayer
    from ofa.imagenet_classification.elastic_nn.networks import OFAMobileNetV3, OFAProxylessNASNets
    from ofa.utils.layers import ConvLayer


class OfaNet(nn.Module):
    """One of ``ofa``'s own networks as ``net``, and functions that run a subnet of it and cut one out.

    ``ofa`` keeps the active subnet as state of the module; ``run`` and ``cut`` get it instead, and ``cut`` only
    reads weights, so that threads may extract at once.
    """

    def __init__(
        self,
        net: nn.Module,
        run: Callable[[nn.Module, Tensor, Mapping[str, Choice]], Tensor],
        cut: Callable[[nn.Module, Arch], nn.Module],
    ) -> None:
        super().__init__()
        self.net = net
        self._run, self._cut = run, cut

    def forward(self, x: Tensor, values: Mapping[str, Choice]) -> Tensor:
        """Logits (n, classes) of the subnet that ``values`` name, for images (n, 3, r, r)."""
        return self._run(self.net, x, values)

    def sort_channels(self) -> None:
        """Order the middle channels of every block by importance, as before elastic expansion."""
        net: Any = self.net
        net.re_organize_middle_weights()

    @torch.no_grad()
    def extract(self, arch: Arch) -> nn.Module:
        """An independent static module with copies of the weights of ``arch``, in eval mode."""
        return self._cut(self.net, arch).eval()


def mobile_net(make: Callable[..., nn.Module], spec: MobileNetV3Spec, width: float) -> OfaNet:
    """An ``OFAMobileNetV3`` or ``OFAProxylessNASNets`` with the choices of a description."""
    first = spec.stages[0]
    net = make(
        n_classes=spec.classes, dropout_rate=0, width_mult=width,
        ks_list=list(first.kernels), expand_ratio_list=list(first.expands), depth_list=list(first.depths),
    )  # fmt: skip
    return OfaNet(net, partial(run_mobile, spec), partial(cut_mobile, spec))


def run_mobile(
    spec: MobileNetV3Spec,
    net: OFAMobileNetV3 | OFAProxylessNASNets,
    x: Tensor,
    values: Mapping[str, Choice],
) -> Tensor:
    """Logits of a subnet of an ``OFAMobileNetV3`` or ``OFAProxylessNASNets``, without its active state."""
    first, *elastic = net.blocks
    by_position = dict(zip(inverted_residuals.positions(spec), elastic, strict=True))
    x = first(net.first_conv(x))
    for position, block in inverted_residuals.blocks(spec, values):
        x = run_elastic_block(by_position[position].conv, block, x)
    if spec.mix_width:
        x = net.feature_mix_layer(net.final_expand_layer(x).mean((2, 3), keepdim=True)).flatten(1)
    else:
        x = net.feature_mix_layer(x).mean((2, 3))
    logits: Tensor = net.classifier(x)
    return logits


def cut_mobile(spec: MobileNetV3Spec, net: OFAMobileNetV3 | OFAProxylessNASNets, arch: Arch) -> Subnet:
    """The subnet of an ``OFAMobileNetV3`` or ``OFAProxylessNASNets``."""
    subnet = Subnet(spec, arch.values)
    first, *elastic = net.blocks
    copy_layer(net.first_conv, subnet.stem)
    copy_layer(first.conv.depth_conv, subnet.first.depthwise)
    copy_layer(first.conv.point_linear, subnet.first.project)
    by_position = dict(zip(inverted_residuals.positions(spec), elastic, strict=True))
    for (position, block), static in zip(
        inverted_residuals.blocks(spec, arch.values), subnet.static_blocks(), strict=True
    ):
        copy_block(by_position[position].conv, block, static)
    if isinstance(subnet.mix, Mix):
        copy_layer(net.final_expand_layer, subnet.head)
        subnet.mix.conv.weight.copy_(net.feature_mix_layer.conv.weight)
    else:
        copy_layer(net.feature_mix_layer, subnet.head)
    subnet.classifier.load_state_dict(net.classifier.linear.state_dict())
    return subnet


def copy_layer(source: ConvLayer, target: ConvBnAct) -> None:
    """Copy a convolution and its batch norm, both of fixed width."""
    target.conv.weight.copy_(source.conv.weight)
    copy_norm(source.bn, target.bn)


def copy_elastic_layer(source: DynamicConvLayer, target: ConvLayer) -> None:
    """Copy as much of an elastic convolution and its batch norm as the static ones have."""
    conv = target.conv
    conv.weight.copy_(source.conv.get_active_filter(conv.out_channels, conv.in_channels))
    copy_norm(source.bn.bn, target.bn)
