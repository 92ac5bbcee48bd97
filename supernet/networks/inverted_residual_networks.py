"""The elastic network, the static subnet, and the way from one to the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from ofa.imagenet_classification.elastic_nn.modules.dynamic_layers import DynamicMBConvLayer
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.archs.arch import Arch, Choice
from supernet.networks import inverted_residuals
from supernet.networks.inverted_residuals import Block, MobileNetV3Spec

ACTIVATIONS = {"relu": nn.ReLU, "relu6": nn.ReLU6, "h_swish": nn.Hardswish}
ACTIVATE: dict[str, Callable[..., Tensor]] = {"relu": F.relu, "relu6": F.relu6, "h_swish": F.hardswish}
"""The same as functions, which take ``inplace``."""


class ConvBnAct(nn.Sequential):
    """Convolution, batch norm and, where given, an activation: (n, inp, s, s) to (n, out, s', s')."""

    conv: nn.Conv2d
    bn: nn.BatchNorm2d

    def __init__(
        self, inp: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1, act: str | None = None
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inp, out, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out)
        if act is not None:
            self.act = ACTIVATIONS[act](inplace=True)


class SqueezeExcite(nn.Module):
    """Gates each channel by its mean (Hu et al., 2018): (n, c, h, w) to (n, c, h, w)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.expand = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.expand(nn.functional.relu(self.reduce(x.mean((2, 3), keepdim=True))))
        return x * nn.functional.hardsigmoid(gate)


class StaticBlock(nn.Module):
    """An inverted residual block without anything elastic: (n, in, s, s) to (n, out, s', s')."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        mid = block.mid_channels
        self.shortcut = block.shortcut
        self.expand: ConvBnAct | nn.Identity = (
            ConvBnAct(block.in_channels, mid, act=block.act) if block.expand else nn.Identity()
        )
        self.depthwise = ConvBnAct(mid, mid, block.kernel, block.stride, mid, block.act)
        self.se: SqueezeExcite | nn.Identity = (
            SqueezeExcite(mid, block.se_channels) if block.se else nn.Identity()
        )
        self.project = ConvBnAct(mid, block.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.se(self.depthwise(self.expand(x))))
        return x + y if self.shortcut else y


class Mix(nn.Sequential):
    """What mixes the pooled features: (n, inp, 1, 1) to (n, out, 1, 1)."""

    conv: nn.Conv2d

    def __init__(self, inp: int, out: int, act: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inp, out, 1, bias=False)
        self.act = ACTIVATIONS[act](inplace=True)


class Subnet(nn.Module):
    """The static network that ``values`` name: images (n, c, r, r) to logits (n, classes)."""

    def __init__(self, spec: MobileNetV3Spec, values: Mapping[str, Choice]) -> None:
        super().__init__()
        resolution = int(values["resolution"])
        self.stem = ConvBnAct(spec.in_channels, spec.stem_width, 3, spec.stem_stride, act=spec.stem_act)
        self.first = StaticBlock(inverted_residuals.first_block(spec, resolution))
        self.blocks = nn.Sequential(
            *(StaticBlock(block) for _, block in inverted_residuals.blocks(spec, values))
        )
        self.head = ConvBnAct(spec.stages[-1].width, spec.head_width, act=spec.head_act)
        self.mix: Mix | nn.Identity = (
            Mix(spec.head_width, spec.mix_width, spec.head_act) if spec.mix_width else nn.Identity()
        )
        self.classifier = nn.Linear(spec.mix_width or spec.head_width, spec.classes)
        initialise(self)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = spec.norm_eps

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.first(self.stem(x)))
        logits: Tensor = self.classifier(self.mix(self.head(x).mean((2, 3), keepdim=True)).flatten(1))
        return logits

    def static_blocks(self) -> list[StaticBlock]:
        """The blocks between the first one and the head, in order."""
        return [block for block in self.blocks if isinstance(block, StaticBlock)]


class ElasticNet(nn.Module):
    """The supernet: all weights, on the elastic modules of ``ofa``.

    The arch is an argument of ``forward``; the module holds no active subnet.
    """

    def __init__(self, spec: MobileNetV3Spec) -> None:
        super().__init__()
        self.spec = spec
        self.stem = ConvBnAct(spec.in_channels, spec.stem_width, 3, spec.stem_stride, act="h_swish")
        self.first = StaticBlock(inverted_residuals.first_block(spec, spec.resolutions[-1]))
        self.blocks = nn.ModuleDict()
        width = spec.first_width
        for s, b in inverted_residuals.positions(spec):
            stage = spec.stages[s - 1]
            self.blocks[f"{s}-{b}"] = DynamicMBConvLayer(
                [width], [stage.width], list(stage.kernels), list(stage.expands),
                stride=stage.stride if b == 1 else 1, act_func=stage.act, use_se=stage.se,
            )  # fmt: skip
            width = stage.width
        self.head = ConvBnAct(width, spec.head_width, act="h_swish")
        self.classifier = nn.Linear(spec.head_width, spec.classes)
        initialise(self)

    def forward(self, x: Tensor, values: Mapping[str, Choice]) -> Tensor:
        """Logits (n, classes) of the subnet that ``values`` name, for images (n, c, r, r)."""
        x = self.first(self.stem(x))
        for (s, b), block in inverted_residuals.blocks(self.spec, values):
            x = run_elastic_block(self.blocks[f"{s}-{b}"], block, x)
        logits: Tensor = self.classifier(self.head(x).mean((2, 3)))
        return logits

    def sort_channels(self) -> None:
        """Order the middle channels of every block by importance, as before elastic expansion."""
        blocks: Iterable[DynamicMBConvLayer] = self.blocks.values()
        for block in blocks:
            block.re_organize_middle_weights()

    @torch.no_grad()
    def extract(self, arch: Arch) -> Subnet:
        """An independent static module with copies of the weights of ``arch``."""
        subnet = Subnet(self.spec, arch.values)
        for name in ("stem", "first", "head", "classifier"):
            getattr(subnet, name).load_state_dict(getattr(self, name).state_dict())
        for ((s, b), block), static in zip(
            inverted_residuals.blocks(self.spec, arch.values), subnet.static_blocks(), strict=True
        ):
            copy_block(self.blocks[f"{s}-{b}"], block, static)
        return subnet.eval()


def run_elastic_block(elastic: DynamicMBConvLayer, block: Block, x: Tensor) -> Tensor:
    """Run one of ``ofa``'s blocks with explicit choices instead of its active ones."""
    expand, depth, point = elastic.inverted_bottleneck, elastic.depth_conv, elastic.point_linear
    activate = ACTIVATE[block.act]
    mid = activate(expand.bn(expand.conv(x, block.mid_channels)), inplace=True)
    mid = activate(depth.bn(depth.conv(mid, block.kernel)), inplace=True)
    if block.se:
        mid = depth.se(mid)
    y: Tensor = point.bn(point.conv(mid, block.out_channels))
    return x + y if block.shortcut else y


def copy_block(elastic: DynamicMBConvLayer, block: Block, static: StaticBlock) -> None:
    """Copy the weights that ``block`` uses out of one of ``ofa``'s elastic blocks, which all expand."""
    if not isinstance(static.expand, ConvBnAct):
        raise TypeError(f"{block.name} expands nothing, so it has no weights in an elastic block")
    inp, mid, out = block.in_channels, block.mid_channels, block.out_channels
    expand, depth, point = elastic.inverted_bottleneck, elastic.depth_conv, elastic.point_linear
    static.expand.conv.weight.copy_(expand.conv.get_active_filter(mid, inp))
    static.depthwise.conv.weight.copy_(depth.conv.get_active_filter(mid, block.kernel))
    static.project.conv.weight.copy_(point.conv.get_active_filter(out, mid))
    copy_norm(expand.bn.bn, static.expand.bn)
    copy_norm(depth.bn.bn, static.depthwise.bn)
    copy_norm(point.bn.bn, static.project.bn)
    if isinstance(static.se, SqueezeExcite):
        squeezed = block.se_channels
        static.se.reduce.load_state_dict(
            {
                "weight": depth.se.get_active_reduce_weight(squeezed, mid),
                "bias": depth.se.get_active_reduce_bias(squeezed),
            }
        )
        static.se.expand.load_state_dict(
            {
                "weight": depth.se.get_active_expand_weight(squeezed, mid),
                "bias": depth.se.get_active_expand_bias(mid),
            }
        )


def copy_norm(source: nn.BatchNorm2d, target: nn.BatchNorm2d) -> None:
    channels = target.num_features
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(target, name).copy_(getattr(source, name)[:channels])
    target.eps = source.eps


def initialise(net: nn.Module) -> None:
    """He initialisation by fan-out (He et al., 2015), as ``ofa`` does."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
            nn.init.zeros_(module.bias)
