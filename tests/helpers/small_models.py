"""torchvision's own classes of models, small enough to be run in a test, with random weights that are no special ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn
from torchvision.models import MobileNetV2, MobileNetV3, ResNet
from torchvision.models.mobilenetv3 import InvertedResidualConfig
from torchvision.models.resnet import BasicBlock, Bottleneck

CLASSES = ("ant", "bee", "cat", "dog")


def small_resnet(
    block: type[BasicBlock | Bottleneck], pooled: bool = False, classes: int = len(CLASSES)
) -> ResNet:
    """A stem for small images, and 3, 2, 1 and 2 blocks of 16 to 40 channels inside."""
    model = ResNet(block, [1, 1, 1, 1], num_classes=classes)
    model.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
    model.bn1 = nn.BatchNorm2d(16)
    if not pooled:
        model.maxpool = nn.Identity()
    model.inplanes = 16
    for stage, (width, blocks, stride) in enumerate([(16, 3, 1), (24, 2, 2), (32, 1, 1), (40, 2, 2)], 1):
        setattr(model, f"layer{stage}", model._make_layer(block, width, blocks, stride))
    model.fc = nn.Linear(40 * block.expansion, classes)
    return model


def small_mobilenet_v3() -> MobileNetV3:
    """Blocks with and without a gate and an expansion, of which three leave the shape as it is."""
    settings = [
        InvertedResidualConfig(16, 3, 16, 16, True, "RE", 2, 1, 1.0),
        InvertedResidualConfig(16, 3, 40, 24, False, "RE", 2, 1, 1.0),
        InvertedResidualConfig(24, 5, 72, 24, True, "HS", 1, 1, 1.0),
        InvertedResidualConfig(24, 3, 48, 24, True, "HS", 1, 1, 1.0),
        InvertedResidualConfig(24, 3, 64, 32, False, "HS", 1, 1, 1.0),
        InvertedResidualConfig(32, 5, 96, 32, True, "HS", 1, 1, 1.0),
    ]
    return MobileNetV3(settings, last_channel=40, num_classes=len(CLASSES))


def small_mobilenet_v2() -> MobileNetV2:
    settings = [[1, 16, 1, 1], [6, 24, 3, 2], [4, 32, 2, 1]]
    return MobileNetV2(len(CLASSES), width_mult=0.5, inverted_residual_setting=settings)


SMALL: Mapping[str, Callable[[], nn.Module]] = {
    "basic": lambda: small_resnet(BasicBlock),
    "bottleneck": lambda: small_resnet(Bottleneck, pooled=True),
    "mobilenet_v2": small_mobilenet_v2,
    "mobilenet_v3": small_mobilenet_v3,
}


def small_model(kind: str, seed: int = 0) -> nn.Module:
    """With statistics and affine terms that differ by channel, in eval mode."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        model = SMALL[kind]()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(std=0.2)
                module.running_var.uniform_(0.5, 2)
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.3)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.2)
                nn.init.normal_(module.bias, std=0.2)
    return model.eval()
