"""Top-1 and top-5 accuracy with confidence intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from supernet.arch import Arch
from supernet.calibration import recalibrate
from supernet.data import Dataset, Images
from supernet.networks import ElasticNet, Subnet
from supernet.preprocessing import Normalisation, prepare


@dataclass(frozen=True)
class Accuracy:
    """Measured accuracy on ``images`` images of a split; ``top1`` and ``top5`` are fractions."""

    split: str
    images: int
    top1: float
    top5: float
    top1_low: float
    top1_high: float
    top5_low: float
    top5_high: float


def wilson(correct: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson, 1927)."""
    from scipy.stats import binomtest

    interval = binomtest(correct, total).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def accuracy_of_logits(logits: Tensor, labels: Tensor, split: str) -> Accuracy:
    """Of logits (n, classes) and labels (n,); top-5 is top-k where there are fewer than five classes."""
    best = logits.topk(min(5, logits.shape[1]), dim=1).indices
    hits = best == labels[:, None]
    n, top1, top5 = len(labels), int(hits[:, 0].sum()), int(hits.sum())
    return Accuracy(split, n, top1 / n, top5 / n, *wilson(top1, n), *wilson(top5, n))


@torch.inference_mode()
def logits_of(
    predict: Callable[[Tensor], Tensor],
    images: Images,
    resolution: int,
    normalisation: Normalisation,
    batch_size: int = 500,
) -> Tensor:
    """Logits (n, classes) of all images."""
    batches = images.pixels.split(batch_size)
    return torch.cat([predict(prepare(batch, resolution, normalisation)) for batch in batches])


def specialise(net: ElasticNet, arch: Arch, data: Dataset) -> Subnet:
    """Extract the subnet of ``arch`` and recalibrate its batch norms on the calibration split."""
    subnet = net.extract(arch).to(memory_format=torch.channels_last)
    recalibrate(subnet, prepare(data.calibration.pixels, arch.resolution, data.normalisation))
    return subnet


def evaluate(subnet: nn.Module, arch: Arch, data: Dataset, split: str) -> Accuracy:
    """Measured accuracy of a subnet on one split."""
    images: Images = getattr(data, split)
    logits = logits_of(subnet, images, arch.resolution, data.normalisation)
    return accuracy_of_logits(logits, images.labels, split)
