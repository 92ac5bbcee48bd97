"""One training in a folder: a supernet, or one of its subnets alone, on images that ship or on a person's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from supernet import documents
from supernet.accuracy import Accuracy
from supernet.archs.arch import Arch
from supernet.archs.space import SearchSpace
from supernet.errors import some, unknown
from supernet.evaluating.evaluation import evaluate, recalibrate_on_images
from supernet.families.catalog import Supernet, described_supernet, parse_supernet
from supernet.families.trainable import trainable
from supernet.images import fashion_mnist
from supernet.images.data import load_dataset
from supernet.images.data_summary import left_out, of_dataset
from supernet.images.images import Images
from supernet.messages import Say
from supernet.training.adapting import put_into
from supernet.training.elastic_batches import ElasticBatches
from supernet.training.elastic_training import step_archs, train
from supernet.training.finetuning import NetOnDevice
from supernet.training.heads import ClassMatch
from supernet.training.learning_curve import CURVE_FILE, write_curve
from supernet.training.processes import Processes
from supernet.training.recipes import Recipe
from supernet.training.supernet_template import Template, mean_and_std
from supernet.training.training_batches import Batches
from supernet.training.training_images import TrainingData, load_training_data
from supernet.training.training_state import TrainingProgress
from supernet.weights.checkpoints import save_weights, sha256_of

SIZES = ("small", "medium", "large")
CURVE_SIZES = ("small", "large")
"""Subnets of a supernet that are looked at while it is trained."""
DESCRIPTION = "supernet.yaml"
FASHION_MNIST = "fashion_mnist"
PLACEHOLDER = ("one", "other")
"""Classes of a network that is only looked at."""
ON_CPU = torch.device("cpu")


@dataclass(frozen=True)
class TrainingTask:
    """What is asked for: ``data`` is a folder of images, or fashion_mnist; ``alone`` is one of :data:`SIZES`.

    ``start`` is the supernet whose weights are begun with, where it is not from scratch.
    """

    template: Template
    recipe: Recipe
    data: str
    out: Path
    alone: str | None = None
    start: Supernet | None = None

    @property
    def weights(self) -> Path:
        return weights_file(self.out, self.alone)

    @property
    def curve(self) -> Path:
        """Of a subnet alone beside that of the supernet."""
        return self.out / (CURVE_FILE if self.alone is None else f"{self.alone}_{CURVE_FILE}")


@dataclass(frozen=True)
class Trained:
    """Where weights and description are, and the validation accuracy of the archs by size."""

    weights: Path
    sha256: str
    validation: dict[str, Accuracy]
    supernet: Path | None = None
    curve: Path | None = None


@dataclass(frozen=True)
class TrainingMaterial:
    """The described network and the images."""

    supernet: Supernet
    data: TrainingData


def arch_of_size(space: SearchSpace, size: str) -> Arch:
    return {"small": space.smallest, "medium": space.middle, "large": space.largest}[size]()


def weights_file(folder: Path, alone: str | None) -> Path:
    """Where the weights of the supernet are written, or of one of its subnets."""
    return folder / f"{alone or 'supernet'}.safetensors"


def run_training(
    task: TrainingTask, processes: Processes, report: Callable[[TrainingProgress], None], say: Say
) -> Trained:
    """Train as the recipe says, or continue where a killed process stopped; the first process writes and measures.

    A subnet alone learns from labels only, for as many steps of as many images as the supernet sees. Raises InputError
    for images that nothing can be learned from, a network that cannot be trained, and
    :class:`supernet.training.training_state.Diverged`.
    """
    given = open_training_material(task, say)
    net = begun_net(task, given)
    kept = trained_net(task, given, net, processes, report)
    if processes.is_first:
        made = written_weights(task, given, kept)
        seen = (given.data.images, given.data.dataset.calibration, given.data.dataset.validation)
        if undecodable := {path: why for images in seen for path, why in images.undecodable.items()}:
            say(left_out(undecodable))
    processes.wait()
    return made if processes.is_first else as_written(task)


def open_training_material(task: TrainingTask, say: Say) -> TrainingMaterial:
    """Raises InputError for images that nothing can be learned from."""
    if task.data == FASHION_MNIST:
        return official_material(task)
    template = task.template
    channels = template.family(template.classes or PLACEHOLDER).channels
    how = template.preprocessing(channels)
    data = load_training_data(Path(task.data), template.classes, how)
    for told in (*of_dataset(data.dataset), f"{len(data.images):,} images to train on", *data.told):
        say(told)
    classes = data.match.after
    if task.start is not None:
        say(data.match.told)
    elif template.classes and classes != template.classes:
        say(f"the network has outputs for the classes of the images: {len(classes)} ({some(classes)})")
    side = template.family(classes).space.largest().resolution
    mean, std = mean_and_std(data.images, channels, side, how)
    supernet = described_supernet(template.document(classes, mean, std), template.path)
    dataset = replace(data.dataset, preprocessing=supernet.preprocessing)
    return TrainingMaterial(restricted(supernet, task.recipe), replace(data, dataset=dataset))


def official_material(task: TrainingTask) -> TrainingMaterial:
    """Fashion-MNIST's official training images but those that validate, as the embedded supernet learned from."""
    template = task.template
    supernet = described_supernet(template.document(template.classes, (), ()), template.path)
    dataset = load_dataset(FASHION_MNIST, supernet)
    images, labels = fashion_mnist.load_official(task.out / "data", train=True)
    chosen = torch.from_numpy(fashion_mnist.split_of_training_images("training"))
    match = ClassMatch(supernet.classes, supernet.classes)
    data = TrainingData(dataset, Images(images[chosen], labels[chosen]), match, FASHION_MNIST, ())
    return TrainingMaterial(restricted(supernet, task.recipe), data)


def restricted(supernet: Supernet, recipe: Recipe) -> Supernet:
    return supernet.restricted(dict(recipe.space))


def begun_net(task: TrainingTask, given: TrainingMaterial) -> nn.Module:
    """The network to train, with weights drawn by the seed, or those that it begins with.

    Raises InputError for one that cannot be trained.
    """
    family = given.supernet.family
    torch.manual_seed(task.recipe.seed)
    if task.alone is not None:
        return family.static(arch_of_size(given.supernet.space, task.alone))
    net = family.elastic()
    trainable(net, f"{given.supernet.name}, of family {task.template.keys.family},")
    assert isinstance(net, nn.Module)
    if task.start is not None:
        put_into(task.start, net, given.data.match)
    return net


def trained_net(
    task: TrainingTask,
    given: TrainingMaterial,
    net: nn.Module,
    processes: Processes,
    report: Callable[[TrainingProgress], None],
) -> nn.Module:
    """The training itself; returns the network whose weights are kept."""
    supernet, recipe = given.supernet, task.recipe
    space = supernet.space
    check_kinds(space, recipe)
    alone = arch_of_size(space, task.alone) if task.alone is not None else None
    images = Batches(
        given.data.images, supernet.preprocessing, recipe, rank=processes.rank, count=processes.count
    )
    processes.check_share(images.size)

    def archs(epoch: int, rng: np.random.Generator) -> tuple[Arch, ...]:
        return (alone,) if alone is not None else step_archs(recipe, space, epoch, rng)

    def validate(net: nn.Module) -> dict[str, float]:
        sizes = CURVE_SIZES if task.alone is None else (task.alone,)
        return {size: a.top1 for size, a in accuracies(task, given, net, sizes, processes.device).items()}

    return train(
        recipe,
        net,
        ElasticBatches(images, archs),
        processes,
        task.weights.with_suffix(".checkpoint"),
        training_identity(task, given),
        validate,
        report,
        partial(write_curve, task.curve),
        alone,
    )


def check_kinds(space: SearchSpace, recipe: Recipe) -> None:
    """Raises InputError for a phase whose elastic kinds the space lacks."""
    kinds = list(dict.fromkeys(d.kind for d in space.dimensions))
    for phase in recipe.phases:
        for kind in phase.elastic or ():
            if kind not in kinds:
                raise unknown(f"kind of choice in elastic of phase {phase.name}:", kind, kinds)


def accuracies(
    task: TrainingTask,
    given: TrainingMaterial,
    net: nn.Module,
    sizes: Sequence[str],
    device: torch.device = ON_CPU,
) -> dict[str, Accuracy]:
    """Of subnets by size on the validation images, calibrated."""
    dataset, found = given.data.dataset, {}
    for size in sizes:
        arch = arch_of_size(given.supernet.space, size)
        subnet = trainable(net).extract(arch) if task.alone is None else deepcopy(net)
        subnet = subnet.eval().to(device).to(memory_format=torch.channels_last)
        judged = subnet if device.type == "cpu" else NetOnDevice(subnet, device).eval()
        recalibrate_on_images(judged, arch.resolution, dataset)
        found[size] = evaluate(judged, arch, dataset, "validation")
    return found


def training_identity(task: TrainingTask, given: TrainingMaterial) -> dict[str, str]:
    """What must be the same for a checkpoint to be continued, by what it is called; threads change but the speed."""
    supernet, data = given.supernet, given.data
    return {
        "network": f"{supernet.name} {supernet.fingerprint}",
        "preprocessing": supernet.preprocessing.told,
        "images": f"{data.dataset.sha256} {data.sha256}",
        "alone": task.alone or "none",
        "start": task.start.weights_sha256 if task.start is not None else "none",
        **{name: str(value) for name, value in asdict(task.recipe).items() if name != "threads"},
    }


def written_weights(task: TrainingTask, given: TrainingMaterial, kept: nn.Module) -> Trained:
    """Write weights and description, and look at three subnets of what was written."""
    kept = kept.cpu()
    sha256 = save_weights(kept, task.weights)
    supernet, described = given.supernet, None
    if task.alone is None:
        described = task.out / DESCRIPTION
        how = supernet.preprocessing
        document = task.template.document(
            supernet.classes, how.mean, how.std,
            data=task.data if task.data == FASHION_MNIST else str(Path(task.data).absolute()),
            weights={"file": task.weights.name, "sha256": sha256},
            space=task.template.keys.space | dict(task.recipe.space),
        )  # fmt: skip
        keys = document.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        documents.write_text(described, documents.dump(keys, flow=None, width=110))
        parse_supernet.cache_clear()  # it may have read another file of this name
    sizes = SIZES if task.alone is None else (task.alone,)
    return Trained(task.weights, sha256, accuracies(task, given, kept, sizes), described, task.curve)


def as_written(task: TrainingTask) -> Trained:
    """What the first process wrote, for the others, which measured nothing."""
    described = task.out / DESCRIPTION if task.alone is None else None
    return Trained(task.weights, sha256_of(task.weights.read_bytes()), {}, described, task.curve)
