"""Top-1 and top-5 accuracy of subnets, measured."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn

from supernet.accuracy import Accuracy, wilson
from supernet.arch import Arch
from supernet.calibration import recalibrate
from supernet.data import Dataset, Images
from supernet.errors import InputError
from supernet.folding import folded
from supernet.networks import ElasticNet, Subnet
from supernet.preprocessing import Normalisation, prepare
from supernet.threads import one_torch_thread


def accuracy_of_logits(logits: Tensor, labels: Tensor, split: str) -> Accuracy:
    """Of logits (n, classes) and labels (n,); top-5 is top-k where there are fewer than five classes.

    Raises InputError for labels that the network has no output for, and for logits that are no numbers.
    """
    if int(labels.max()) >= logits.shape[1]:
        raise InputError(
            f"the {split} images have labels up to {int(labels.max())}, but the network has "
            f"{logits.shape[1]} outputs; give images of the classes it was trained on"
        )
    if not bool(logits.isfinite().all()):  # topk would count NaN as the best class
        raise InputError(f"the network's logits of the {split} images are not finite; its weights diverged")
    best = logits.topk(min(5, logits.shape[1]), dim=1).indices
    hits = best == labels[:, None]
    n, top1, top5 = len(labels), int(hits[:, 0].sum()), int(hits.sum())
    return Accuracy(split, n, top1 / n, top5 / n, *wilson(top1, n), *wilson(top5, n))


def logits_of(
    predict: Callable[[Tensor], Tensor],
    images: Images,
    resolution: int,
    normalisation: Normalisation,
    batch_size: int = 100,
) -> Tensor:
    """Logits (n, classes) of all images.

    Small batches stay in the cache: 100 takes half the time of 500. They run side by side on
    worker threads of one torch thread each, which is no slower than all threads on one batch
    where the machine is quiet, and several times as fast where other programs want the cores.
    """

    @torch.inference_mode()
    def run(batch: Tensor) -> Tensor:
        return predict(prepare(batch, resolution, normalisation))

    batches = images.pixels.split(batch_size)
    with one_torch_thread() as threads, ThreadPoolExecutor(threads) as pool:
        return torch.cat(list(pool.map(run, batches)))


@one_torch_thread()
def specialise(net: ElasticNet, arch: Arch, data: Dataset) -> Subnet:
    """Extract the subnet of ``arch`` and recalibrate its batch norms on the calibration split."""
    subnet = net.extract(arch).to(memory_format=torch.channels_last)
    recalibrate(subnet, prepare(data.calibration.pixels, arch.resolution, data.normalisation))
    return subnet


def evaluate(subnet: nn.Module, arch: Arch, data: Dataset, split: str) -> Accuracy:
    """Measured accuracy of a subnet, which must be in eval mode, on one split.

    Raises InputError where it has another number of outputs than ``data`` has classes.
    """
    if subnet.training:
        raise ValueError("evaluate a subnet in eval mode: in training mode its batch norms would change")
    images: Images = getattr(data, split)
    logits = logits_of(folded(subnet), images, arch.resolution, data.normalisation)
    if logits.shape[1] != len(data.classes):
        raise InputError(
            f"data set {data.name} has {len(data.classes)} classes, but the network has "
            f"{logits.shape[1]} outputs; give images of the classes it was trained on"
        )
    return accuracy_of_logits(logits, images.labels, split)
