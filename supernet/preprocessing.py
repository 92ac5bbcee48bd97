"""From stored images to what a network takes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of pixel values scaled to 0..1."""

    mean: float
    std: float


def prepare(images: Tensor, resolution: int, normalisation: Normalisation) -> Tensor:
    """Grey images (n, h, w) uint8 to network inputs (n, 1, resolution, resolution) float32.

    Bilinear with antialiasing, like Pillow's resize, then scaled to 0..1 and normalised.
    """
    x = images[:, None].to(torch.float32) / 255
    if x.shape[-2:] != (resolution, resolution):
        x = F.interpolate(x, (resolution, resolution), mode="bilinear", antialias=True, align_corners=False)
    return (x - normalisation.mean) / normalisation.std
