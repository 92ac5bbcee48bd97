"""What each part of the fine-tuning recipe is worth: top-1 on report images that were never chosen by.

python benchmarks/finetuning_recipes.py [SEEDS [KIND ...]]

The smallest subnet of the embedded supernet on a thousand training images of four kinds: clothes turned by 90 degrees
(turned), in little light (dark: darker, with noise) and as they are (plain), and scikit-learn's digits (digits), which
take a new head. One thing is changed at a time of the shipped recipe with the largest subnet as a teacher, all with 12 epochs; figures
are means over seeds, and beside them the difference from that with the same seeds, and its standard error.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.archs.arch import Arch
from supernet.bundles.finetuning_job import with_classes
from supernet.evaluating.evaluation import evaluate, recalibrate_on_images, specialise
from supernet.families.catalog import Supernet, open_supernet
from supernet.images.data import Dataset, Images, load_dataset
from supernet.training.finetuning import finetune
from supernet.training.finetuning_recipe import FinetuningRecipe, read_finetuning_recipe
from supernet.training.heads import match_classes
from supernet.training.processes import Processes
from supernet.training.training_batches import Batches

TRAINING, CALIBRATION, VALIDATION, REPORT = 1000, 500, 500, 4000
EPOCHS = 12
REFERENCE = "with a teacher"
CHANGES: dict[str, dict[str, object]] = {
    REFERENCE: {},
    "adamw, 0.001": {"learning_rate": 0.001},
    "adamw, 0.01": {"learning_rate": 0.01},
    "sgd, 0.03": {"optimizer": "sgd", "learning_rate": 0.03},
    "sgd, 0.1": {"optimizer": "sgd", "learning_rate": 0.1},
    "no teacher, as shipped": {"distil_weight": 0.0},
    "no average of weights": {"ema_decay": 0.0},
    "no label smoothing": {"label_smoothing": 0.0},
    "no augmentation": {"mirror": False, "shift_pixels": 0},
    "no weight decay": {"weight_decay": 0.0},
}


class Kind(NamedTuple):
    """Images of a kind, those to train on, and whether the supernet knows their classes."""

    name: str
    data: Dataset
    training: Images
    known: bool


def main(seeds: int = 3, *chosen: str) -> None:
    supernet = open_supernet("fmnist_mbv3")
    arch = supernet.space.smallest()
    kinds = [kind for kind in all_kinds(supernet) if not chosen or kind.name in chosen]
    print(f"{'':24}" + "".join(f"{kind.name:>22}" for kind in kinds) + "   seconds")
    untouched = [f"{100 * before(supernet, arch, kind):.2f}" if kind.known else "-" for kind in kinds]
    print(f"{'before, calibrated':24}" + "".join(f"{figure:>22}" for figure in untouched))
    reference: dict[str, np.ndarray] = {}
    for name, change in CHANGES.items():
        row, began = f"{name:24}", time.monotonic()
        for kind in kinds:
            found = np.array([100 * tuned_top1(supernet, arch, kind, change, seed) for seed in range(seeds)])
            reference.setdefault(kind.name, found)
            difference = found - reference[kind.name]
            error = (
                f" ({difference.mean():+.2f} ± {difference.std(ddof=1) / seeds**0.5:.2f})"
                if any(change)
                else ""
            )
            row += f"{f'{found.mean():.2f}{error}':>22}"
        print(f"{row} {(time.monotonic() - began) / seeds / len(kinds):9.1f}", flush=True)


def all_kinds(supernet: Supernet) -> Iterator[Kind]:
    data = load_dataset("fashion_mnist", supernet)
    yield of_clothes("turned", data, lambda pixels: pixels.rot90(1, (1, 2)))
    generator = torch.Generator().manual_seed(0)

    def dark(pixels: Tensor) -> Tensor:
        noise = 20 * torch.randn(pixels.shape, generator=generator)
        return (pixels * 0.3 + 30 + noise).clamp(0, 255).to(torch.uint8)

    yield of_clothes("dark", data, dark)
    yield of_clothes("plain", data, lambda pixels: pixels)
    yield of_digits(data)


def of_clothes(name: str, data: Dataset, change) -> Kind:  # type: ignore[no-untyped-def]
    def changed(images: Images, first: int, count: int) -> Images:
        part = slice(first, first + count)
        return Images(change(images.pixels[part]), images.labels[part])

    own = dataclasses.replace(
        data,
        calibration=changed(data.calibration, 0, CALIBRATION),
        validation=changed(data.validation, 0, VALIDATION),
        report=changed(data.report, 0, REPORT),
    )
    return Kind(name, own, changed(data.calibration, 0, TRAINING), True)


def of_digits(data: Dataset) -> Kind:
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    small = torch.from_numpy(digits.images[order])[:, None].float() * 255 / 16
    pixels = F.interpolate(small, (28, 28), mode="bilinear").round().to(torch.uint8)[:, 0]
    labels = torch.from_numpy(digits.target[order])
    parts = {"training": slice(0, 1000), "validation": slice(1000, 1200), "report": slice(1200, None)}
    split = {name: Images(pixels[part], labels[part]) for name, part in parts.items()}
    training = split["training"]
    own = dataclasses.replace(
        data, classes=tuple("0123456789"), calibration=training.picked(range(CALIBRATION)),
        validation=split["validation"], report=split["report"],
    )  # fmt: skip
    return Kind("digits", own, training, False)


def calibrated(supernet: Supernet, arch: Arch, kind: Kind, seed: int) -> nn.Module:
    """The subnet with outputs for the images' classes."""
    match = match_classes(supernet.classes, [name.replace("/", "_") for name in kind.data.classes])
    return with_classes(supernet.load().extract(arch), supernet, arch, match, seed)


def before(supernet: Supernet, arch: Arch, kind: Kind) -> float:
    subnet = calibrated(supernet, arch, kind, 0)
    recalibrate_on_images(subnet, arch.resolution, kind.data)
    return evaluate(subnet, arch, kind.data, "report").top1


def tuned_top1(supernet: Supernet, arch: Arch, kind: Kind, change: dict[str, object], seed: int) -> float:
    """Top-1 on the report images of the average of weights that validation images chose."""
    recipe: FinetuningRecipe = read_finetuning_recipe(None, {"epochs": EPOCHS, "seed": seed, **change})
    if not kind.known:
        recipe = recipe.model_copy(update={"mirror": False})
    largest = supernet.space.largest()
    taught = kind.known and recipe.distil_weight > 0
    resolutions = (arch.resolution, *([largest.resolution] if taught else []))
    teacher = specialise(supernet.load(), largest, kind.data) if taught else None
    subnet = calibrated(supernet, arch, kind, seed)

    def validate(net: nn.Module) -> float:
        recalibrate_on_images(net, arch.resolution, kind.data)
        return evaluate(net, arch, kind.data, "validation").top1

    with tempfile.TemporaryDirectory() as folder:
        batches = Batches(kind.training, kind.data.preprocessing, recipe, resolutions)
        tuned = finetune(
            subnet, batches, teacher, Processes(torch.device("cpu")), Path(folder) / "checkpoint", {}, validate, lambda _: None
        )  # fmt: skip
    subnet.load_state_dict(tuned.state)
    recalibrate_on_images(subnet, arch.resolution, kind.data)
    return evaluate(subnet, arch, kind.data, "report").top1


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]), *sys.argv[2:])
