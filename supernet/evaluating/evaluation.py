"""Top-1 and top-5 accuracy of subnets, measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

import torch
from torch import Tensor, nn

from supernet.accuracy import Accuracy, wilson
from supernet.archs.arch import Arch
from supernet.errors import InputError
from supernet.families.catalog import Elastic, PreprocessingKeys
from supernet.images.data import CALIBRATION_BATCH, Dataset, Images
from supernet.images.image_folder import ImageFiles
from supernet.networks.calibration import recalibrate_on_batches
from supernet.networks.folding import folded
from supernet.threads import made_ahead, one_torch_thread


def accuracy_of_logits(logits: Tensor, labels: Tensor, split: str) -> Accuracy:
    """Of logits (n, classes) and labels (n,); top-5 is top-k where there are fewer than five classes.

    Raises InputError as :func:`hits_of_logits` does.
    """
    return accuracy_of_hits(hits_of_logits(logits, labels, split), split)


def hits_of_logits(logits: Tensor, labels: Tensor, split: str) -> Tensor:
    """Whether the best, second best, ... of at most five classes is the label, bool (n, 5 or classes).

    Raises InputError for labels that the network has no output for, and for logits that are no numbers.
    """
    if int(labels.max()) >= logits.shape[1]:
        raise InputError(
            f"the {split} images have labels up to {int(labels.max())}, but the network has "
            f"{logits.shape[1]} outputs; give images of the classes it was trained on"
        )
    if not bool(logits.isfinite().all()):  # topk would count NaN as the best class
        raise InputError(f"the network's logits of the {split} images are not finite; its weights diverged")
    return logits.topk(min(5, logits.shape[1]), dim=1).indices == labels[:, None]


def accuracy_of_hits(hits: Tensor, split: str) -> Accuracy:
    """Of what :func:`hits_of_logits` gives, with 95 % intervals."""
    n, top1, top5 = len(hits), int(hits[:, 0].sum()), int(hits.sum())
    return Accuracy(split, n, top1 / n, top5 / n, *wilson(top1, n), *wilson(top5, n))


def logits_of(
    predict: Callable[[Tensor], Tensor],
    images: Images | ImageFiles,
    resolution: int,
    how: PreprocessingKeys,
    batch_size: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Logits (n, classes) and labels (n,) of all images that can be decoded."""
    found = logits_of_part(predict, images, range(len(images)), resolution, how, batch_size)
    if found is None:
        raise none_decoded(images)
    return found


def logits_of_part(
    predict: Callable[[Tensor], Tensor],
    images: Images | ImageFiles,
    part: range,
    resolution: int,
    how: PreprocessingKeys,
    batch_size: int | None = None,
) -> tuple[Tensor, Tensor] | None:
    """Logits (n, classes) and labels (n,) of the images at some places; None where none can be decoded.

    Batches are small, to stay in the cache. They run side by side on worker threads of one torch
    thread each, which is no slower than all threads on one batch where the machine is quiet, and
    several times as fast where other programs want the cores. Images are decoded there too.
    """
    size = batch_size or images.batch_size

    @torch.inference_mode()
    def run(first: int) -> tuple[Tensor, Tensor] | None:
        batch = part[first : first + size]
        inputs, labels = images.batch(slice(batch.start, batch.stop, batch.step), resolution, how)
        return (predict(inputs), labels) if len(labels) else None

    with one_torch_thread() as threads, ThreadPoolExecutor(threads) as pool:
        done = [found for found in pool.map(run, range(0, len(part), size)) if found is not None]
    if not done:
        return None
    logits, labels = zip(*done, strict=True)
    return torch.cat(logits), torch.cat(labels)


def none_decoded(images: Images | ImageFiles) -> InputError:
    if not isinstance(images, ImageFiles):  # these are decoded already, so there are none
        return InputError("there is no image to evaluate on; give some")
    path, reason = min(images.undecodable.items())
    return InputError(
        f"none of the {len(images)} images in {images.folder} can be decoded; the first is {path} ({reason}); "
        "give other images"
    )


def inputs_ahead(
    images: Images | ImageFiles, resolution: int, how: PreprocessingKeys, pool: Executor, ahead: int
) -> Iterator[Tensor]:
    """Network inputs in batches of equal size, ``ahead`` of which are decoded while one is used.

    So two thousand images of 224 pixels, which are 1.2 GB as inputs, are never all in memory. An image
    that cannot be decoded is missing in its batch.
    """
    batches = torch.arange(len(images)).tensor_split(math.ceil(len(images) / CALIBRATION_BATCH))
    slices = (slice(int(batch[0]), int(batch[-1]) + 1) for batch in batches)
    for inputs, _ in made_ahead(lambda places: images.batch(places, resolution, how), slices, pool, ahead):
        yield inputs


def specialise(net: Elastic, arch: Arch, data: Dataset) -> nn.Module:
    """Extract the subnet of ``arch`` and recalibrate its batch norms on the calibration split."""
    subnet = net.extract(arch).eval().to(memory_format=torch.channels_last)
    recalibrate_on_images(subnet, arch.resolution, data)
    return subnet


def recalibrate_on_images(subnet: nn.Module, resolution: int, data: Dataset) -> None:
    """Replace the statistics of a subnet's batch norms by those of the calibration split.

    Raises InputError where none of its images can be decoded.
    """
    with one_torch_thread() as threads, ThreadPoolExecutor(threads) as pool:
        inputs = inputs_ahead(data.calibration, resolution, data.preprocessing, pool, threads)
        recalibrate_on_batches(subnet, (batch for batch in inputs if len(batch)))
    if len(data.calibration.undecodable) == len(data.calibration):
        raise none_decoded(data.calibration)


def evaluate(subnet: nn.Module, arch: Arch, data: Dataset, split: str) -> Accuracy:
    """Measured accuracy of a subnet, which must be in eval mode, on the images of a split that can be decoded.

    Raises InputError where none can, and where it has another number of outputs than ``data`` has classes.
    """
    return accuracy_of_hits(hits_of(subnet, arch, data, split), split)


def hits_of(subnet: nn.Module, arch: Arch, data: Dataset, split: str) -> Tensor:
    """Which images a subnet gets right, as :func:`hits_of_logits` has it; errors are those of :func:`evaluate`."""
    [(_, hits)] = hits_by_part(subnet, arch, data, split, [range(len(getattr(data, split)))])
    return hits


def hits_by_part(
    subnet: nn.Module, arch: Arch, data: Dataset, split: str, parts: Iterable[range]
) -> Iterator[tuple[list[int], Tensor]]:
    """Of one part of a split after the other: places (n,) of the images that can be decoded, and their hits.

    A part is evaluated when it is asked for. Parts that make up the split have the hits that
    :func:`hits_of` gives; errors are those of :func:`evaluate`, where no part has an image that can be
    decoded after the last one.
    """
    if subnet.training:
        raise ValueError("evaluate a subnet in eval mode: in training mode its batch norms would change")
    yield from hits_of_answers(folded(subnet), arch.resolution, data, split, parts)


def hits_of_answers(
    predict: Callable[[Tensor], Tensor], resolution: int, data: Dataset, split: str, parts: Iterable[range]
) -> Iterator[tuple[list[int], Tensor]]:
    """The same of whatever answers inputs (n, c, r, r) with logits (n, classes); several threads ask at once."""
    images: Images | ImageFiles = getattr(data, split)
    any_decoded = False
    for part in parts:
        found = logits_of_part(predict, images, part, resolution, data.preprocessing)
        if found is None:
            yield [], torch.empty(0, min(5, len(data.classes)), dtype=torch.bool)
            continue
        any_decoded, (logits, labels) = True, found
        if logits.shape[1] != len(data.classes):
            raise InputError(
                f"data set {data.name} has {len(data.classes)} classes, but the network has "
                f"{logits.shape[1]} outputs; give images of the classes it was trained on"
            )
        yield images.decodable(part), hits_of_logits(logits, labels, split)
    if not any_decoded:
        raise none_decoded(images)
