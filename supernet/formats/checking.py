"""Formats beside torch: their logits on the same inputs, and their accuracy on the report split."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Literal

import torch
from torch import Tensor, nn

from supernet.accuracy import Accuracy, Paired, mcnemar_of
from supernet.bundles.bundle import COMPARED_IMAGES, MAX_DIFFERENCE, ROUNDING_ERRORS, Bundle, Disagreement
from supernet.errors import paragraph
from supernet.evaluating.evaluation import accuracy_of_logits, logits_of
from supernet.formats.protocol import AccuracyBound, Opened, Opening, Reading, ToWrite
from supernet.images.data import Dataset
from supernet.quantising.choosing import CHOSEN_ON, with_fewer_to_validate

NOISE_BATCH = 8
OF_SPREAD = 1e-3
"""Of the distance between the least and the greatest logit: in a network whose logits are near 0 any answer would be near."""
CHANCE = 0.05
"""A p-value from which on a difference may be chance."""
ComparedWith = Literal["validation images", "random inputs"]


@dataclass(frozen=True)
class Agreement:
    """How far a format is from torch: ``max_difference`` of a logit on ``compared`` inputs, ``allowed`` what it may be.

    ``other_classes`` is the number of inputs whose best class differs although torch's best two are further apart than
    such differences could turn; ``accuracy`` that on the report split, where there are images. ``agreement`` is the share
    of them, or of the inputs, whose best class is torch's; ``torch_accuracy`` and ``paired`` compare with torch on the same images.
    """

    max_difference: float
    allowed: float
    compared: int
    compared_with: ComparedWith
    other_classes: int
    accuracy: Accuracy | None
    agreement: float
    torch_accuracy: Accuracy | None = None
    paired: Paired | None = None


def compare_with_torch(
    bundle: Bundle, subnet: nn.Module, opened: Mapping[str, Opened], data: Dataset | None, resolution: int
) -> dict[str, Agreement]:
    """Each format on 256 validation images, evenly spread, and on the report split; without ``data`` on random inputs."""
    exact = copy.deepcopy(subnet).double()
    all_of = torch_beside(subnet, opened)

    def with_exact(inputs: Tensor) -> Tensor:
        return torch.cat([exact(inputs.double())[:, :, None], all_of(inputs).double()], dim=2)

    if data is None:
        compared, where = noise_logits(with_exact, bundle, resolution), "random inputs"
        report, labels = compared[:, :, 1:], None
    else:
        places = torch.linspace(
            0, len(data.validation) - 1, min(COMPARED_IMAGES, len(data.validation))
        ).long()
        some, where = data.validation.picked(places.tolist()), "validation images"
        compared, _ = logits_of(with_exact, some, resolution, bundle.preprocessing)
        report, labels = logits_of(all_of, data.report, resolution, bundle.preprocessing)
    allowed = allowed_difference(compared[:, :, 1], compared[:, :, 0])
    return {
        name: Agreement(
            max_difference=largest(compared[:, :, 2 + i] - compared[:, :, 1]),
            allowed=allowed,
            compared=len(compared),
            compared_with="validation images" if where == "validation images" else "random inputs",
            other_classes=other_classes(report[:, :, 0], report[:, :, 1 + i], allowed),
            accuracy=accuracy_of(report[:, :, 1 + i], labels),
            agreement=agreeing(report[:, :, 0], report[:, :, 1 + i]),
            torch_accuracy=accuracy_of(report[:, :, 0], labels),
            paired=paired_of(report[:, :, 0], report[:, :, 1 + i], labels),
        )
        for i, name in enumerate(opened)
    }


def allowed_difference(ours: Tensor, exact: Tensor) -> float:
    """Of a logit: 1e-4, or less of logits that are all alike, but no less than ten times torch's own rounding errors."""
    spread = float(exact.max() - exact.min())
    rounding = float((ours - exact).abs().max())
    return max(min(MAX_DIFFERENCE, OF_SPREAD * spread), ROUNDING_ERRORS * rounding)


def torch_beside(subnet: nn.Module, opened: Mapping[str, Opened]) -> Callable[[Tensor], Tensor]:
    """Logits (n, classes, 1 + formats) of torch and of each format, whose runtimes are not asked by two threads at once."""
    alone = Lock()

    def run(inputs: Tensor) -> Tensor:
        given = inputs.contiguous()
        ours = subnet(given)
        with alone:
            theirs = [answer_of(name, format, given, ours) for name, format in opened.items()]
        return torch.stack([ours, *theirs], dim=2)

    return run


def answer_of(name: str, format: Opened, inputs: Tensor, ours: Tensor) -> Tensor:
    """Logits of a format. Raises Disagreement where its runtime fails, or answers in another shape than torch's ``ours``."""
    try:
        found = torch.from_numpy(format.predict(inputs.numpy()))
    except Exception as error:  # runtimes raise of every kind
        raise Disagreement(
            f"the format {name} is loaded and fails when it is run: {type(error).__name__}: {paragraph(str(error))[:400]}"
        ) from error
    if found.shape != ours.shape:
        raise Disagreement(
            f"the format {name} answers with shape {tuple(found.shape)}, and {tuple(ours.shape)} is due"
        )
    return found


def check_runs(name: str, format: Opened, bundle: Bundle, resolution: int) -> None:
    """Raises Disagreement for a format that does not answer at all, before it is asked beside others."""
    image = torch.zeros(1, bundle.card.preprocessing.channels, resolution, resolution)
    answer_of(name, format, image, torch.zeros(1, len(bundle.classes)))


@torch.inference_mode()
def noise_logits(predict: Callable[[Tensor], Tensor], bundle: Bundle, resolution: int) -> Tensor:
    """Of normal inputs, which are spread as normalised images are, always the same ones."""
    generator = torch.Generator().manual_seed(0)
    shape = (COMPARED_IMAGES, bundle.card.preprocessing.channels, resolution, resolution)
    inputs = torch.randn(shape, generator=generator)
    return torch.cat([predict(batch) for batch in torch.split(inputs, NOISE_BATCH)])


def largest(difference: Tensor) -> float:
    """NaN where any of it is."""
    return float(difference.abs().max())


def other_classes(ours: Tensor, theirs: Tensor, allowed: float) -> int:
    best, second = ours.topk(2, dim=1).values.unbind(1)
    return int(((ours.argmax(1) != theirs.argmax(1)) & (best - second > 2 * allowed)).sum())


def accuracy_of(logits: Tensor, labels: Tensor | None) -> Accuracy | None:
    if labels is None or not bool(logits.isfinite().all()):
        return None
    return accuracy_of_logits(logits.float(), labels, "report")


def best_class(logits: Tensor) -> Tensor:
    """As accuracy counts it where logits are equal, which they often are in 8 bits."""
    return logits.topk(min(5, logits.shape[1]), dim=1).indices[:, 0]


def agreeing(ours: Tensor, theirs: Tensor) -> float:
    return float((best_class(ours) == best_class(theirs)).float().mean())


def paired_of(ours: Tensor, theirs: Tensor, labels: Tensor | None) -> Paired | None:
    if labels is None:
        return None
    return mcnemar_of(best_class(ours) == labels, best_class(theirs) == labels)


def validation_top1(opened: Opening, folder: Path, material: ToWrite) -> float:
    """Of a format in ``folder`` in its own runtime, by which one way to write it is chosen before another."""
    assert material.data is not None
    few = with_fewer_to_validate(material.data, CHOSEN_ON).validation
    with opened(Reading(folder, 1, material.batch, material.bundle)) as runs:
        beside = torch_beside(material.subnet, {folder.name: runs})
        logits, labels = logits_of(
            lambda inputs: beside(inputs)[:, :, 1], few, material.resolution, material.data.preprocessing
        )
    return accuracy_of_logits(logits, labels, "validation").top1


def require_likeness(
    name: str,
    found: Agreement,
    where: object,
    bound: AccuracyBound | None = None,
    then: str = "nothing was written",
) -> None:
    """Raises Disagreement for a format that does not answer as torch does, or nearly so where it has a bound.

    ``then`` says what became of it.
    """
    if bound is not None:
        require_accuracy(name, found, where, bound, then)
        return
    if not found.max_difference <= found.allowed or found.other_classes:
        raise Disagreement(
            f"{where}: the format {name} and torch disagree: logits differ by up to {found.max_difference:.3g} on "
            f"{found.compared} {found.compared_with} (allowed: {found.allowed:g}), and the best class of "
            f"{found.other_classes} inputs (allowed: 0); {then}"
        )


def require_accuracy(name: str, found: Agreement, where: object, bound: AccuracyBound, then: str) -> None:
    """Raises Disagreement for a format that loses more than its bound allows."""
    ours, theirs, paired = found.torch_accuracy, found.accuracy, found.paired
    if ours is None or theirs is None or paired is None:
        raise Disagreement(f"{where}: the format {name} answers with numbers that are not finite; {then}")
    points = 100 * (ours.top1 - theirs.top1)
    if (points > bound.points and paired.p_value < CHANCE) or found.agreement < bound.agreement:
        raise Disagreement(
            f"{where}: the format {name} loses too much: its top-1 is {100 * theirs.top1:.2f} % on {theirs.images:,} report "
            f"images, torch's {100 * ours.top1:.2f} % (McNemar's p = {paired.p_value:.2g}), and its best class is torch's on "
            f"{100 * found.agreement:.1f} % of them (allowed: {bound}); {then}"
        )
