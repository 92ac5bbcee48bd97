"""A subnet that computes in simulated 8 bits, as ONNX Runtime's QDQ does, and can be trained so.

Weights have a scale for each output channel, activations one and a zero point for each tensor, by the ranges that
:class:`supernet.quantising.method.QuantisingMethod` has by default; batch norms are folded with their statistics as they
are. Gradients pass a rounding as if it were none, and stop where a value is cut off: torch's own fake quantisation.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from supernet.errors import InputError

MOST_WEIGHT, MOST_ACTIVATION = 127, 255
RANGE_MOMENTUM = 0.01
"""How fast ranges of activations follow batches in training; before each validation they are measured anew."""
LEAST_STEP = 1e-12
UNROUNDED_MODULES = (nn.Identity, nn.Dropout, nn.Flatten, nn.MaxPool2d)
UNROUNDED_METHODS = ("flatten", "view", "reshape", "contiguous", "squeeze", "unsqueeze", "size")


class FakeQuantised(nn.Module):
    """Rounds a tensor to 256 steps of its range; where ``measures``, it widens the range instead."""

    least: Tensor
    most: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.measures = False
        self.register_buffer("least", torch.zeros(()))
        self.register_buffer("most", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        found = x.detach().float()
        if self.measures:
            self.least.copy_(torch.minimum(self.least, found.amin()))
            self.most.copy_(torch.maximum(self.most, found.amax()))
            return x
        if self.training:
            self.least.lerp_(found.amin().clamp(max=0), RANGE_MOMENTUM)
            self.most.lerp_(found.amax().clamp(min=0), RANGE_MOMENTUM)
        scale = ((self.most - self.least) / MOST_ACTIVATION).clamp(min=LEAST_STEP)
        zero = (-self.least / scale).round().clamp(0, MOST_ACTIVATION).int()
        rounded: Tensor = torch.fake_quantize_per_tensor_affine(x.float(), scale, zero, 0, MOST_ACTIVATION)
        return rounded


class FakeQuantisedLayer(nn.Module):
    """A convolution or matrix product with its batch norm folded in, whose weights are rounded to 8 bits."""

    def __init__(self, layer: nn.Conv2d | nn.Linear, norm: nn.BatchNorm2d | None) -> None:
        super().__init__()
        self.layer, self.norm, self.measures = layer, norm, False

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.folded()
        if not self.measures:
            weight = fake_quantised_weight(weight)
        if isinstance(self.layer, nn.Conv2d):
            conv = self.layer
            return F.conv2d(x, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups)
        return F.linear(x, weight, bias)

    def folded(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias as a deployed file has them."""
        weight, bias, norm = self.layer.weight, self.layer.bias, self.norm
        if norm is None:
            return weight, bias
        assert norm.running_mean is not None
        assert norm.running_var is not None
        factor = norm.weight * (norm.running_var + norm.eps).rsqrt()
        before = norm.running_mean if bias is None else norm.running_mean - bias
        return weight * factor[:, None, None, None], norm.bias - before * factor


def fake_quantised_weight(weight: Tensor) -> Tensor:
    """Rounded to steps of 1/127 of the greatest absolute value of each output channel."""
    scale = (weight.detach().flatten(1).abs().amax(1) / MOST_WEIGHT).clamp(min=LEAST_STEP)
    zero = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -MOST_WEIGHT, MOST_WEIGHT)


def simulated_int8(subnet: nn.Module) -> fx.GraphModule:
    """The subnet in simulated 8 bits; its layers are those of ``subnet``, whose weights change with it.

    Ranges are to be measured first (:func:`measure_ranges`). Raises InputError for a network that torch cannot trace.
    """
    try:
        made = fx.symbolic_trace(subnet)
    except Exception as error:  # of whatever a network's own code does
        raise InputError(
            f"torch cannot trace this network to simulate 8 bits: {error}; leave --precision out"
        ) from error
    modules = dict(made.named_modules())
    for node in list(made.graph.nodes):
        layer = modules.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(layer, nn.Conv2d | nn.Linear):
            put(made, str(node.target), FakeQuantisedLayer(layer, taken_norm(made, node, modules)))
    if any(isinstance(module_of(node, modules), nn.BatchNorm2d) for node in made.graph.nodes):
        raise InputError(
            "8 bits cannot be simulated: a batch norm follows no convolution; leave --precision out"
        )
    places = [node for node in made.graph.nodes if is_rounded(node, modules)]
    for number, node in enumerate(places):
        name = f"rounded_{number}"
        made.add_module(name, FakeQuantised())
        with made.graph.inserting_after(node):
            rounded = made.graph.call_module(name, (node,))
        node.replace_all_uses_with(rounded, lambda user, own=rounded: user is not own)
    made.graph.lint()
    made.recompile()
    return made.eval()


def taken_norm(made: fx.GraphModule, node: fx.Node, modules: dict[str, nn.Module]) -> nn.BatchNorm2d | None:
    """The batch norm that alone follows a layer, which is taken out of the graph; None where there is none."""
    users = list(node.users)
    norm = module_of(users[0], modules) if len(users) == 1 else None
    if not isinstance(norm, nn.BatchNorm2d):
        return None
    users[0].replace_all_uses_with(node)
    made.graph.erase_node(users[0])
    put(made, str(users[0].target), nn.Identity())
    return norm


def put(made: fx.GraphModule, name: str, module: nn.Module) -> None:
    """In place of the one of this name in the graph's own containers, which are not those of the subnet."""
    parent, _, own = name.rpartition(".")
    setattr(made.get_submodule(parent), own, module)


def module_of(node: fx.Node, modules: dict[str, nn.Module]) -> nn.Module | None:
    return modules.get(str(node.target)) if node.op == "call_module" else None


def is_rounded(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether QDQ rounds what a node gives: all but matrix products, what a ReLU follows, and what changes no value."""
    if node.op in ("output", "get_attr") or not node.users:
        return False
    if isinstance(module_of(node, modules), (*UNROUNDED_MODULES, nn.Linear)) or node.target in (
        *UNROUNDED_METHODS,
        torch.flatten,
    ):
        return False
    return not all(is_relu(user, modules) for user in node.users)


def is_relu(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    functions: tuple[Any, ...] = (F.relu, torch.relu, F.relu6)
    return node.target in functions or isinstance(module_of(node, modules), nn.ReLU | nn.ReLU6)


@torch.no_grad()
def measure_ranges(net: nn.Module, inputs: Tensor, at_once: int = 64) -> None:
    """Set the ranges of activations to their least and greatest values on inputs (n, c, r, r), in float32."""
    parts = [part for part in net.modules() if isinstance(part, FakeQuantised | FakeQuantisedLayer)]
    for part in parts:
        part.measures = True
        if isinstance(part, FakeQuantised):
            part.least.zero_()
            part.most.zero_()
    for batch in torch.split(inputs, at_once):
        net(batch)
    for part in parts:
        part.measures = False
