"""From images to what a network takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from supernet.families.catalog import PreprocessingKeys

if TYPE_CHECKING:
    from PIL import Image


def prepare(images: Tensor, resolution: int, how: PreprocessingKeys) -> Tensor:
    """Stored images to network inputs (n, c, resolution, resolution) float32.

    ``images`` are uint8, grey (n, h, w) or RGB (n, 3, h, w). Bilinear with antialiasing,
    like Pillow's resize, then scaled to 0..1 and normalised.
    """
    x = (images if images.ndim == 4 else images[:, None]).to(torch.float32) / 255
    if x.shape[-2:] != (resolution, resolution):
        x = F.interpolate(x, (resolution, resolution), mode="bilinear", antialias=True, align_corners=False)
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (how.mean, how.std))
    return (x - mean) / std


def denormalised(inputs: Tensor, how: PreprocessingKeys) -> Tensor:
    """Inputs (n, c, h, w) as what a network sees of the images: brightness 0..1."""
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (how.mean, how.std))
    return (inputs * std + mean).clamp(0, 1)


ROUNDINGS: dict[str, Callable[[float], int]] = {"up": math.ceil, "down": math.floor, "nearest": round}


def shorter_side(resolution: int, how: PreprocessingKeys) -> int:
    """Pixels of an image's shorter side, of which the middle ``resolution`` pixels are cut out.

    Raises ValueError for preprocessing without a crop.
    """
    if how.crop is None:
        raise ValueError(f"preprocessing has no crop: {how}")
    return ROUNDINGS[how.rounded](resolution / how.crop)


@lru_cache(maxsize=64)
def resize_and_crop(resolution: int, how: PreprocessingKeys) -> Callable[[Image.Image], Tensor]:
    """An image of any size to one input (c, resolution, resolution) float32.

    torchvision's own transforms in the order in which OFA evaluates, so that figures compare.
    """
    from torchvision import transforms

    composed: Callable[[Image.Image], Tensor] = transforms.Compose(
        [
            transforms.Resize(shorter_side(resolution, how)),
            transforms.CenterCrop(resolution),
            transforms.ToTensor(),
            transforms.Normalize(how.mean, how.std),
        ]
    )
    return composed
