"""What torchvision's networks of residual blocks are made of, read from a module in memory.

Each reader gives the ``network`` keys of a supernet's YAML, and which of our parts has the tensors of which of theirs.
A module that holds anything else is refused by name; that nothing was misread is shown by the logits afterwards
(:mod:`supernet.making.from_model`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torchvision import models
from torchvision.models import mobilenetv2, mobilenetv3, resnet
from torchvision.ops.misc import Conv2dNormActivation, SqueezeExcitation

from supernet.errors import InputError
from supernet.networks.residual_spec import BASIC, BOTTLENECK, INVERTED, POOL_KERNEL, POOL_STRIDE

ACTS: Mapping[type[nn.Module], str] = {nn.ReLU: "relu", nn.ReLU6: "relu6", nn.Hardswish: "h_swish"}
PARTS_OF_ALL = frozenset(
    {
        nn.Sequential,
        nn.Conv2d,
        nn.BatchNorm2d,
        nn.Linear,
        nn.Identity,
        nn.Dropout,
        nn.AdaptiveAvgPool2d,
        *ACTS,
    }
)
"""Modules that may be in all of them."""
HOOKS = ("_forward_hooks", "_forward_pre_hooks")


@dataclass
class ModelReading:
    """``network`` as in a YAML, without classes and choices; ``parts`` of ours by theirs, as ``bn1: stem.bn``."""

    network: dict[str, Any]
    parts: dict[str, str] = field(default_factory=dict)

    def renamed(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors under our names. Raises InputError for one that belongs to no part that is known."""
        found = {}
        for name, tensor in state.items():
            part, _, own = name.rpartition(".")
            if part not in self.parts:
                raise InputError(f"the model holds a tensor {name}, which is no part of such a network")
            found[f"{self.parts[part]}.{own}"] = tensor
        return found


def read_model(model: nn.Module) -> ModelReading:
    """Read a module. Raises InputError for one of another class, and where something in it is not known."""
    if type(model) not in MODEL_READERS:
        known = ", ".join(sorted(cls.__name__ for cls in MODEL_READERS))
        raise InputError(
            f"a supernet cannot be made of a {type(model).__module__}.{type(model).__qualname__}: known are torchvision's "
            f"classes {known}, and no class derived from these"
        )
    read, own = MODEL_READERS[type(model)]
    for name, module in model.named_modules():
        if type(module) not in own:
            raise foreign(name, f"is a {type(module).__qualname__}, which is not known there")
        if any(getattr(module, hooks) for hooks in HOOKS):
            raise foreign(name, "has hooks, which a supernet would not run; remove them first")
        if "forward" in vars(module):
            raise foreign(name, "has a forward of its own; give the model as torchvision makes it")
    found = read(model)
    found.network["norm"] = norms_of(model)
    return found


def foreign(name: str, why: str) -> InputError:
    return InputError(f"{name or 'the model'} {why}")


def norms_of(model: nn.Module) -> dict[str, float]:
    """What all batch norms have in common."""
    norms = {name: m for name, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)}
    first = next(iter(norms.values()))
    for name, norm in norms.items():
        if not norm.affine or not norm.track_running_stats:
            raise foreign(
                name, "is a batch norm without weights or without statistics, which a supernet needs"
            )
        if (norm.eps, norm.momentum) != (first.eps, first.momentum):
            raise foreign(name, "has another eps or momentum than the batch norms before it")
    return {"eps": first.eps, "momentum": 0.1 if first.momentum is None else first.momentum}


def check_convolution(name: str, conv: nn.Conv2d) -> None:
    """Raises InputError for one that no walk of ours describes."""
    kernel, stride = conv.kernel_size, conv.stride
    usual = conv.padding == (kernel[0] // 2,) * 2 and conv.dilation == (1, 1) and conv.padding_mode == "zeros"
    if kernel[0] != kernel[1] or kernel[0] % 2 == 0 or stride[0] != stride[1] or not usual:
        raise foreign(name, f"is not padded by half of its kernel, dilated or not square: {conv}")
    if conv.bias is not None:
        raise foreign(name, "has a bias, where a batch norm follows")
    if conv.groups not in (1, conv.in_channels):
        raise foreign(name, f"has {conv.groups} groups; 1, or one for each channel, is possible")


def activation_of(name: str, module: nn.Module) -> str:
    if type(module) not in ACTS:
        raise foreign(name, f"is a {type(module).__qualname__}, where an activation is due")
    return ACTS[type(module)]


# -- ResNet --------------------------------------------------------------------


RESNET_STEPS = {BASIC: ("first", "second"), BOTTLENECK: ("reduce", "middle", "expand")}
"""Our names of ``conv1``, ``conv2``, ..."""


def read_resnet(model: models.ResNet) -> ModelReading:
    parts = {"conv1": "stem.conv", "bn1": "stem.bn", "fc": "classifier"}
    check_convolution("conv1", model.conv1)
    own = [block for stage in resnet_stages(model) for block in stage.children()]
    kinds = {BASIC if isinstance(block, resnet.BasicBlock) else BOTTLENECK for block in own}
    if len(kinds) != 1:
        raise InputError("the model has BasicBlocks and Bottlenecks; one kind is possible")
    [kind] = kinds
    stages, place = [], 0
    for s, stage in enumerate(resnet_stages(model), 1):
        found = []
        for b, block in enumerate(stage.children()):
            found.append(read_resnet_block(f"layer{s}.{b}", block, kind, f"blocks.{place}", parts))
            place += 1
        stages.append({"width": last_conv(stage[-1], kind).out_channels, "blocks": found})
    stem = {
        "width": model.conv1.out_channels, "kernel": model.conv1.kernel_size[0], "stride": model.conv1.stride[0],
        "act": activation_of("relu", model.relu), "pool": has_pool(model.maxpool),
    }  # fmt: skip
    return ModelReading(
        {"blocks": kind, "in_channels": model.conv1.in_channels, "stem": stem, "stages": stages}, parts
    )


def resnet_stages(model: models.ResNet) -> list[nn.Sequential]:
    return [model.layer1, model.layer2, model.layer3, model.layer4]


def last_conv(block: Any, kind: str) -> nn.Conv2d:
    found: nn.Conv2d = getattr(block, f"conv{len(RESNET_STEPS[kind])}")
    return found


def has_pool(module: nn.Module) -> bool:
    """Whether max pooling is there as torchvision has it; none, as for small images, is an Identity."""
    if isinstance(module, nn.Identity):
        return False
    if not isinstance(module, nn.MaxPool2d):
        raise foreign("maxpool", f"is a {type(module).__qualname__}; MaxPool2d and Identity are known")
    given = (module.kernel_size, module.stride, module.padding, module.dilation, module.ceil_mode)
    if given != (POOL_KERNEL, POOL_STRIDE, POOL_KERNEL // 2, 1, False):
        raise foreign("maxpool", f"pools otherwise than torchvision's: {module}")
    return True


def read_resnet_block(where: str, block: Any, kind: str, ours: str, parts: dict[str, str]) -> dict[str, Any]:
    """The YAML keys of one block; adds its parts to ``parts``."""
    for i, step in enumerate(RESNET_STEPS[kind], 1):
        check_convolution(f"{where}.conv{i}", getattr(block, f"conv{i}"))
        parts[f"{where}.conv{i}"] = f"{ours}.chain.{step}.conv"
        parts[f"{where}.bn{i}"] = f"{ours}.chain.{step}.bn"
    if block.downsample is not None:
        if [type(part) for part in block.downsample] != [nn.Conv2d, nn.BatchNorm2d]:
            raise foreign(f"{where}.downsample", "is not a convolution and its batch norm")
        parts[f"{where}.downsample.0"] = f"{ours}.shortcut.conv"
        parts[f"{where}.downsample.1"] = f"{ours}.shortcut.bn"
    wide = block.conv1 if kind == BASIC else block.conv2
    return {
        "inner": block.conv1.out_channels, "kernel": wide.kernel_size[0], "stride": wide.stride[0],
        "act": activation_of(f"{where}.relu", block.relu),
    }  # fmt: skip


# -- MobileNetV2 and V3 ----------------------------------------------------------


def read_mobilenet(model: models.MobileNetV3 | models.MobileNetV2) -> ModelReading:
    first, *own, last = model.features.children()
    parts: dict[str, str] = {}
    conv, act = read_conv_norm_act("features.0", first, "stem", parts)
    stem = {"width": conv.out_channels, "kernel": conv.kernel_size[0], "stride": conv.stride[0], "act": act}
    stages: list[dict[str, Any]] = []
    width = conv.out_channels
    for place, block in enumerate(own):
        keys, out = read_inverted(f"features.{place + 1}", block, f"blocks.{place}", parts)
        if not stages or keys["stride"] != 1 or out != width:
            stages.append({"width": out, "blocks": []})
        stages[-1]["blocks"].append(keys)
        width = out
    head_conv, head_act = read_conv_norm_act(f"features.{len(own) + 1}", last, "head", parts)
    head = {"width": head_conv.out_channels, "act": head_act}
    *before, (place, _) = linear = [
        (i, m) for i, m in enumerate(model.classifier) if isinstance(m, nn.Linear)
    ]
    if len(linear) > 2:
        raise foreign("classifier", f"has {len(linear)} linear layers; at most 2 are possible")
    for i, mix in before:
        head["mix"] = mix.out_features
        parts[f"classifier.{i}"] = "mix.linear"
        if activation_of(f"classifier.{i + 1}", model.classifier[i + 1]) != head_act:
            raise foreign(f"classifier.{i + 1}", "is another activation than that of the head")
    parts[f"classifier.{place}"] = "classifier"
    keys = {"blocks": INVERTED, "in_channels": conv.in_channels, "stem": stem, "stages": stages, "head": head}
    return ModelReading(keys, parts)


def read_conv_norm_act(
    where: str, part: nn.Module, ours: str, parts: dict[str, str]
) -> tuple[nn.Conv2d, str | None]:
    """The convolution of a ``Conv2dNormActivation`` and what follows its norm; adds its parts to ``parts``."""
    kinds = [type(inner) for inner in part.children()]
    if (
        not isinstance(part, Conv2dNormActivation)
        or kinds[:2] != [nn.Conv2d, nn.BatchNorm2d]
        or len(kinds) > 3
    ):
        raise foreign(where, "is not a convolution with a batch norm and at most an activation behind it")
    check_convolution(f"{where}.0", part[0])
    parts |= {f"{where}.0": f"{ours}.conv", f"{where}.1": f"{ours}.bn"}
    return part[0], activation_of(f"{where}.2", part[2]) if len(kinds) > 2 else None


def read_inverted(where: str, block: Any, ours: str, parts: dict[str, str]) -> tuple[dict[str, Any], int]:
    """The YAML keys of one block and its width; adds its parts to ``parts``."""
    is_v3 = isinstance(block, mobilenetv3.InvertedResidual)
    path = f"{where}.{'block' if is_v3 else 'conv'}"
    inner = list((block.block if is_v3 else block.conv).children())
    if not is_v3:  # its last convolution and norm are not in a module of their own
        inner = [*inner[:-2], inner[-2:]]
    gates = [(i, part) for i, part in enumerate(inner) if isinstance(part, SqueezeExcitation)]
    convs = [(i, part) for i, part in enumerate(inner) if not isinstance(part, SqueezeExcitation)]
    names = ("expand", "depthwise", "project")[-len(convs) :]
    found, acts = [], []
    for name, (i, part) in zip(names, convs, strict=True):
        if isinstance(part, list):
            check_convolution(f"{path}.{i}", part[0])
            parts |= {
                f"{path}.{i}": f"{ours}.chain.{name}.conv",
                f"{path}.{i + 1}": f"{ours}.chain.{name}.bn",
            }
            found.append(part[0])
        else:
            conv, act = read_conv_norm_act(f"{path}.{i}", part, f"{ours}.chain.{name}", parts)
            found.append(conv)
            acts += [act] if name != "project" else []
    for i, gate in gates:
        read_gate(f"{path}.{i}", gate, f"{ours}.chain.se", parts)
    if len(set(acts)) != 1 or acts[0] is None:
        raise foreign(where, "has convolutions with different activations, or with none")
    wide = found[-2]
    keys = {
        "inner": wide.out_channels, "kernel": wide.kernel_size[0], "stride": wide.stride[0], "act": acts[0],
        **({"squeeze": gates[0][1].fc1.out_channels} if gates else {}),
        **({} if len(found) == 3 else {"expands": False}),
    }  # fmt: skip
    return keys, found[-1].out_channels


def read_gate(where: str, gate: Any, ours: str, parts: dict[str, str]) -> None:
    if type(gate.activation) is not nn.ReLU or type(gate.scale_activation) is not nn.Hardsigmoid:
        raise foreign(where, "gates otherwise than by ReLU and Hardsigmoid")
    parts |= {f"{where}.fc1": f"{ours}.reduce", f"{where}.fc2": f"{ours}.expand"}


Reader = tuple[Callable[[Any], ModelReading], frozenset[type[nn.Module]]]

MODEL_READERS: Mapping[type[nn.Module], Reader] = {
    models.ResNet: (
        read_resnet,
        PARTS_OF_ALL | {models.ResNet, resnet.BasicBlock, resnet.Bottleneck, nn.MaxPool2d},
    ),
    models.MobileNetV2: (
        read_mobilenet,
        PARTS_OF_ALL | {models.MobileNetV2, mobilenetv2.InvertedResidual, Conv2dNormActivation},
    ),
    models.MobileNetV3: (
        read_mobilenet,
        PARTS_OF_ALL
        | {
            models.MobileNetV3, mobilenetv3.InvertedResidual, Conv2dNormActivation, SqueezeExcitation,
            nn.Hardsigmoid,
        },
    ),
}  # fmt: skip
"""By class: what reads it, and the classes of modules that may be in it."""
