"""Top-1 and top-5 of a subnet in plain torch and Pillow: what evaluations are held against.

Nothing of ``supernet.evaluating.evaluation``, ``calibration``, ``folding`` or ``preprocessing`` takes part: images are resized one
by one, batch norms are recalibrated by their definition, and images are classified one at a time.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn


class Pixels(Protocol):
    """What is read of a split: ``pixels`` (n, h, w) uint8 and ``labels`` (n,)."""

    pixels: Tensor
    labels: Tensor


BATCH = 100
"""Calibration images at a time, at most; batches are as equal as can be."""


def plain_accuracy(
    subnet: nn.Module, resolution: int, calibration: Pixels, split: Pixels
) -> tuple[float, float]:
    """Top-1 and top-5 on a split of grey images, after recalibration; the subnet stays as it is."""
    return shares(plain_logits(subnet, resolution, calibration, split), split.labels)


def shares(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """How many labels (n,) are the best of their logits (n, classes), and among the best five."""
    better = (logits > logits[torch.arange(len(labels)), labels][:, None]).sum(1)
    return float((better == 0).double().mean()), float((better < 5).double().mean())


@torch.no_grad()
def plain_logits(subnet: nn.Module, resolution: int, calibration: Pixels, split: Pixels) -> Tensor:
    """Logits (n, classes) of a split of grey images, one image at a time, after recalibration."""
    batches = -(-len(calibration.pixels) // BATCH)
    sizes = [len(part) for part in np.array_split(np.arange(len(calibration.pixels)), batches)]
    net = recalibrated(subnet, inputs_of(calibration.pixels, resolution).split(sizes))
    return torch.cat([net(image[None]) for image in inputs_of(split.pixels, resolution)])


def inputs_of(pixels: Tensor, resolution: int) -> Tensor:
    """Resized by Pillow in floating point, with the mean and the deviation of the embedded images (docs)."""
    size = (resolution, resolution)
    images = [Image.fromarray(image.numpy().astype(np.float32)) for image in pixels]
    resized = np.stack([np.asarray(image.resize(size, Image.Resampling.BILINEAR)) for image in images])
    return torch.from_numpy((resized / 255 - 0.286) / 0.353).float()[:, None]


def recalibrated(subnet: nn.Module, batches: Sequence[Tensor]) -> nn.Module:
    """A copy whose norms have the mean over the batches of each channel's mean and unbiased variance."""
    net = copy.deepcopy(subnet).eval()
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    seen: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {norm: [] for norm in norms}

    def by_batch(norm: nn.BatchNorm2d) -> Callable[[Tensor], Tensor]:
        def forward(x: Tensor) -> Tensor:
            values = x.transpose(0, 1).flatten(1)
            seen[norm].append((values.mean(1), values.var(1, unbiased=True)))
            biased = values.var(1, unbiased=False)
            mean, scale = (
                values.mean(1)[:, None, None],
                (norm.weight / (biased + norm.eps).sqrt())[:, None, None],
            )
            return (x - mean) * scale + norm.bias[:, None, None]

        return forward

    for norm in norms:
        norm.forward = by_batch(norm)  # type: ignore[method-assign]
    for batch in batches:
        net(batch)
    for norm in norms:
        del norm.forward
        means, variances = zip(*seen[norm], strict=True)
        norm.running_mean, norm.running_var = torch.stack(means).mean(0), torch.stack(variances).mean(0)
    return net
