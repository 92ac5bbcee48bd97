"""One training in a folder: the supernet of a recipe, or one of its subnets alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from supernet import fashion_mnist
from supernet.accuracy import Accuracy
from supernet.arch import Arch
from supernet.catalog import open_supernet
from supernet.checkpoints import save_weights
from supernet.data import load_dataset
from supernet.errors import InputError
from supernet.evaluation import evaluate, recalibrate_on_images, specialise
from supernet.recipes import read_recipe
from supernet.space import SearchSpace
from supernet.training import TrainingProgress, elastic, train

SIZES = ("small", "medium", "large")


@dataclass(frozen=True)
class Trained:
    """Where the weights are, and the validation accuracy of the archs by size."""

    weights: Path
    sha256: str
    validation: dict[str, Accuracy]


def arch_of_size(space: SearchSpace, size: str) -> Arch:
    return {"small": space.smallest, "medium": space.middle, "large": space.largest}[size]()


def weights_file(folder: Path, alone: str | None) -> Path:
    """Where the weights of the supernet are written, or of one of its subnets."""
    return folder / f"{alone or 'supernet'}.safetensors"


def run(
    recipe_file: Path, folder: Path, alone: str | None, report: Callable[[TrainingProgress], None]
) -> Trained:
    """Train as the recipe says, or continue where a killed process stopped.

    ``alone`` is one of :data:`SIZES`: that subnet from scratch, on labels only, for as
    many steps of as many images as the supernet sees.
    """
    name, recipe = read_recipe(recipe_file)
    supernet = open_supernet(name)
    if supernet.data != "fashion_mnist":
        raise InputError(
            f"{recipe_file}: training data is known for fashion_mnist, not for {supernet.data!r}"
        )
    data = load_dataset(supernet.data, supernet)
    images, labels = fashion_mnist.load_official(folder / "data", train=True)
    chosen = torch.from_numpy(fashion_mnist.split_of_training_images("training"))
    torch.manual_seed(recipe.seed)
    arch = arch_of_size(supernet.space, alone) if alone is not None else None
    net = supernet.family.static(arch) if arch is not None else elastic(supernet.family.elastic())
    weights = weights_file(folder, alone)
    train(
        recipe, supernet.space, net, images[chosen], labels[chosen], data.preprocessing,
        weights.with_suffix(".checkpoint"), report, alone=arch,
    )  # fmt: skip
    sha256 = save_weights(net, weights)
    accuracy = {}
    for size in SIZES if alone is None else (alone,):
        of_size = arch_of_size(supernet.space, size)
        if alone is None:
            subnet = specialise(elastic(net), of_size, data)
        else:
            subnet = net
            recalibrate_on_images(subnet, of_size.resolution, data)
        accuracy[size] = evaluate(subnet, of_size, data, "validation")
    return Trained(weights, sha256, accuracy)
