"""Networks of residual blocks in torch: the static subnet, the elastic network, and the way from one to the other.

The elastic network holds its largest subnet; any other one runs on, and is cut out as, the first channels of its tensors.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.archs.arch import Arch, Choice
from supernet.networks import residual_spec
from supernet.networks.channel_importance import sort_block
from supernet.networks.inverted_residual_networks import ACTIVATIONS, ConvBnAct, SqueezeExcite, initialise
from supernet.networks.residual_spec import POOL_KERNEL, POOL_STRIDE, ResidualBlock, ResidualSpec


class StaticResidual(nn.Module):
    """One block: (n, in, s, s) to (n, out, s', s')."""

    def __init__(self, block: ResidualBlock) -> None:
        super().__init__()
        self.adds = block.adds
        self.shortcut: ConvBnAct | nn.Identity = (
            ConvBnAct(block.in_channels, block.out_channels, 1, block.trained.stride)
            if block.projected
            else nn.Identity()
        )
        self.chain = nn.Sequential(chain_of(block))
        self.act = ACTIVATIONS[block.act_behind](inplace=True) if block.act_behind else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        if not self.adds:
            unchanged: Tensor = self.chain(x)
            return unchanged
        beside = self.shortcut(x)
        y: Tensor = self.act(self.chain(x) + beside)
        return y

    def parts(self) -> list[ConvBnAct | SqueezeExcite]:
        """Its convolutions with their norms, and its gate, in the order in which they run."""
        return [part for part in self.chain if isinstance(part, ConvBnAct | SqueezeExcite)]


def chain_of(block: ResidualBlock) -> OrderedDict[str, nn.Module]:
    """The convolutions of a block by name, and its gate, one after the other."""
    parts = OrderedDict[str, nn.Module]()
    for step in block.steps:
        groups = step.in_channels if step.depthwise else 1
        parts[step.name] = ConvBnAct(
            step.in_channels, step.out_channels, step.kernel, step.stride, groups, step.act
        )
        if step.depthwise and block.trained.squeeze:
            parts["se"] = SqueezeExcite(block.inner, block.trained.squeeze)
    return parts


class Mixer(nn.Sequential):
    """A linear layer with an activation: (n, inp) to (n, out)."""

    def __init__(self, inp: int, out: int, act: str) -> None:
        super().__init__()
        self.linear = nn.Linear(inp, out)
        self.act = ACTIVATIONS[act](inplace=True)


class ResidualNet(nn.Module):
    """The static network that ``values`` name: images (n, c, r, r) to logits (n, classes)."""

    def __init__(self, spec: ResidualSpec, values: Mapping[str, Choice]) -> None:
        super().__init__()
        stem, head, last = spec.stem, spec.head, spec.stages[-1].width
        self.stem = ConvBnAct(spec.in_channels, stem.width, stem.kernel, stem.stride, act=stem.act)
        self.pool = nn.MaxPool2d(POOL_KERNEL, POOL_STRIDE, POOL_KERNEL // 2) if stem.pool else nn.Identity()
        self.blocks = nn.Sequential(*(StaticResidual(own) for _, own in residual_spec.blocks(spec, values)))
        self.head = ConvBnAct(last, head.width, act=head.act) if head else nn.Identity()
        self.mix = Mixer(head.width, head.mix, head.act) if head and head.mix else nn.Identity()
        self.classifier = nn.Linear(head.mix if head and head.mix else spec.features, spec.classes)
        initialise(self)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps, module.momentum = spec.norm_eps, spec.norm_momentum

    def forward(self, x: Tensor) -> Tensor:
        return self.answer(self.blocks(self.pool(self.stem(x))))

    def answer(self, x: Tensor) -> Tensor:
        """From the maps behind the last block to logits."""
        logits: Tensor = self.classifier(self.mix(self.head(x).mean((2, 3))))
        return logits

    def static_residuals(self) -> list[StaticResidual]:
        """The blocks, in order."""
        return [block for block in self.blocks if isinstance(block, StaticResidual)]


class ElasticResidualNet(nn.Module):
    """The supernet: all weights, as its largest subnet ``net``.

    The arch is an argument of ``forward``; the module holds no active subnet.
    """

    def __init__(self, spec: ResidualSpec) -> None:
        super().__init__()
        self.spec = spec
        self.net = ResidualNet(spec, residual_spec.space(spec).largest().values)

    def forward(self, x: Tensor, values: Mapping[str, Choice]) -> Tensor:
        """Logits (n, classes) of the subnet that ``values`` name, for images (n, c, r, r)."""
        x = self.net.pool(self.net.stem(x))
        own = self.net.static_residuals()
        for place, block in residual_spec.blocks(self.spec, values):
            x = run_narrow_block(own[place], block.inner, x)
        return self.net.answer(x)

    def sort_channels(self) -> None:
        """Order the inner channels of every block by importance, the most important first; no logit changes."""
        for block in self.net.static_residuals():
            sort_block(block.parts())

    @torch.no_grad()
    def extract(self, arch: Arch) -> ResidualNet:
        """An independent static module with copies of the weights of ``arch``, in eval mode."""
        with torch.device("meta"):  # nothing of it is kept but shapes
            subnet = ResidualNet(self.spec, arch.values)
        subnet.to_empty(device=self.net.classifier.weight.device)
        for name in ("stem", "head", "mix", "classifier"):
            getattr(subnet, name).load_state_dict(getattr(self.net, name).state_dict())
        own = self.net.static_residuals()
        kept = residual_spec.blocks(self.spec, arch.values)
        for (place, _), target in zip(kept, subnet.static_residuals(), strict=True):
            copy_first_channels(own[place], target)
        return subnet.eval()


def run_narrow_block(block: StaticResidual, inner: int, x: Tensor) -> Tensor:
    """Run a block with the first ``inner`` of its inner channels."""
    *parts, last = block.parts()
    y = x
    for part in parts:
        y = run_narrow_gate(part, y) if isinstance(part, SqueezeExcite) else run_narrow(part, y, inner)
    assert isinstance(last, ConvBnAct)
    y = run_narrow(last, y, last.conv.out_channels)
    if not block.adds:
        return y
    added: Tensor = block.act(y + block.shortcut(x))
    return added


def run_narrow(part: ConvBnAct, x: Tensor, width: int) -> Tensor:
    """A convolution and its norm from the first channels, as many as ``x`` has, to the first ``width`` ones.

    In training mode the statistics of these are updated, and of the others not.
    """
    conv, norm = part.conv, part.bn
    depthwise = conv.groups > 1
    weight = conv.weight[:width] if depthwise else conv.weight[:width, : x.shape[1]]
    y = F.conv2d(x, weight, None, conv.stride, conv.padding, 1, width if depthwise else 1)
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    assert norm.momentum is not None
    y = F.batch_norm(
        y, mean[:width], variance[:width], norm.weight[:width], norm.bias[:width],
        norm.training, norm.momentum, norm.eps,
    )  # fmt: skip
    return part.act(y) if hasattr(part, "act") else y


def run_narrow_gate(gate: SqueezeExcite, x: Tensor) -> Tensor:
    """A gate of the first channels, as many as ``x`` has."""
    width = x.shape[1]
    squeezed = F.conv2d(x.mean((2, 3), keepdim=True), gate.reduce.weight[:, :width], gate.reduce.bias)
    bias = gate.expand.bias[:width] if gate.expand.bias is not None else None
    return x * F.hardsigmoid(F.conv2d(F.relu(squeezed), gate.expand.weight[:width], bias))


def copy_first_channels(source: nn.Module, target: nn.Module) -> None:
    """Fill every tensor of ``target`` from the beginning of that of ``source`` with the same name."""
    theirs = source.state_dict()
    for name, tensor in target.state_dict().items():
        tensor.copy_(theirs[name][tuple(slice(0, length) for length in tensor.shape)])
