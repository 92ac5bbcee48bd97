"""One fine-tuning: from a bundle and a folder of images to a new bundle with both figures on its card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from supernet.accuracy import Accuracy, Paired, mcnemar
from supernet.archs.arch import Arch
from supernet.bundles.bundle import Bundle, check_replaceable, open_bundle, write_bundle
from supernet.bundles.bundle_card import Finetuning, TunedFrom
from supernet.errors import InputError, some
from supernet.evaluating.evaluation import accuracy_of_hits, evaluate, hits_of, recalibrate_on_images
from supernet.families.catalog import Supernet, open_supernet
from supernet.images.class_folders import folder_name
from supernet.images.data import Dataset
from supernet.images.data_summary import left_out, of_dataset, suspicion
from supernet.messages import Say
from supernet.training.finetuning import Tuned, finetune
from supernet.training.finetuning_recipe import FinetuningRecipe
from supernet.training.heads import ClassMatch, match_classes, put_weights
from supernet.training.processes import Processes
from supernet.training.training_batches import Batches
from supernet.training.training_images import TrainingData, load_training_data
from supernet.training.training_state import TrainingProgress

CostsOf = Callable[[Supernet, Arch], Mapping[str, float]]
"""What a subnet of a network is predicted to cost, by the names of the costs."""


@dataclass(frozen=True)
class Task:
    """What is asked for. ``distil`` has the supernet's largest subnet teach; ``out`` is the new bundle's folder."""

    parent: Bundle
    folder: Path
    recipe: FinetuningRecipe
    out: Path
    processes: Processes
    distil: bool = False

    @property
    def checkpoint(self) -> Path:
        """Beside the bundle, which it is replaced by in the end."""
        return self.out.with_name(f"{self.out.name}.checkpoint")


class BeforeAndAfter(NamedTuple):
    """The parent on the report images, and how the two differ there; neither where the parent lacks classes."""

    before: Accuracy | None
    paired: Paired | None
    after: Accuracy


def run_task(task: Task, costs: CostsOf, report: Callable[[TrainingProgress], None], say: Say) -> Bundle:
    """Fine-tune, measure before and after on the same report images, and write the new bundle, verified as any.

    The same task goes on where a killed one stopped. Raises InputError for images that nothing can be learned from,
    and :class:`supernet.training.training_state.Diverged`.
    """
    check_replaceable(task.out)
    given = open_material(task, say)
    tuned = train_on(task, given, report)
    say(ended(tuned, task.recipe))
    if task.processes.is_first:
        measure_and_write(task, given, tuned, costs, say)
    task.processes.wait()
    return open_bundle(task.out, task.parent.supernet)


class Largest(NamedTuple):
    """The largest subnet of the supernet with its weights, as a teacher."""

    arch: Arch
    net: nn.Module


@dataclass(frozen=True)
class Material:
    """The supernet, the parent's subnet as it was, the images, and who teaches beside their labels."""

    supernet: Supernet
    original: nn.Module
    data: TrainingData
    teacher: Largest | None

    def subnet(self, task: Task) -> nn.Module:
        """The parent's subnet with outputs for the classes of the images."""
        return with_classes(self.original, self.supernet, task.parent.arch, self.data.match, task.recipe.seed)


def open_material(task: Task, say: Say) -> Material:
    """Raises InputError for images that nothing can be learned from."""
    supernet = task.parent.supernet or open_supernet(task.parent.card.supernet.name)
    original = task.parent.subnet()
    data = load_training_data(task.folder, task.parent.classes, task.parent.preprocessing)
    for told in (
        *of_dataset(data.dataset),
        f"{len(data.images):,} images to train on",
        data.match.told,
        *data.told,
    ):
        say(told)
    return Material(supernet, original, data, find_teacher(task, supernet, data, say))


def train_on(task: Task, given: Material, report: Callable[[TrainingProgress], None]) -> Tuned:
    """The fine-tuning itself; the average of weights is calibrated and measured on the validation images."""
    parent, processes, teacher = task.parent, task.processes, given.teacher
    resolutions = (parent.arch.resolution, *([teacher.arch.resolution] if teacher is not None else []))
    batches = Batches(
        given.data.images, parent.preprocessing, task.recipe, resolutions, processes.rank, processes.count
    )
    processes.check_share(batches.size)

    def validate(net: nn.Module) -> float:
        recalibrate_on_images(net, parent.arch.resolution, given.data.dataset)
        return evaluate(net, parent.arch, given.data.dataset, "validation").top1

    return finetune(
        given.subnet(task),
        batches,
        teacher.net.to(processes.device) if teacher is not None else None,
        processes,
        task.checkpoint,
        checkpoint_identity(task, given.data, teacher),
        validate,
        report,
    )


def measure_and_write(task: Task, given: Material, tuned: Tuned, costs: CostsOf, say: Say) -> None:
    """Calibrate the best weights, look at the report images, and write the new bundle in place of the checkpoint."""
    data, subnet = given.data.dataset, given.subnet(task)
    subnet.load_state_dict(tuned.state)
    recalibrate_on_images(subnet, task.parent.arch.resolution, data)
    say(f"measuring accuracy on {len(data.report):,} report images")
    before = given.subnet(task) if not given.data.match.new else None
    if before is not None and not task.parent.card.calibrated:
        recalibrate_on_images(before, task.parent.arch.resolution, data)
    compared = compare_on_report(task.parent, before, subnet, data)
    if (doubt := suspicion(compared.after, data.report, len(data.classes))) is not None:
        say(doubt)
    if undecodable := {**given.data.images.undecodable, **data.undecodable}:
        say(left_out(undecodable))
    about = finetuning_keys(task, given, tuned, compared)
    write_tuned(task, given.supernet, subnet, data, compared.after, about, costs, say)
    task.checkpoint.unlink(missing_ok=True)


def with_classes(
    subnet: nn.Module, supernet: Supernet, arch: Arch, match: ClassMatch, seed: int
) -> nn.Module:
    """The same subnet with outputs for the classes of the images; rows of new classes are drawn by the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        target = supernet.of_classes(match.after).family.static(arch)
    put_weights(subnet.state_dict(), target, match)
    return target.eval()


def find_teacher(task: Task, supernet: Supernet, data: TrainingData, say: Say) -> Largest | None:
    """The largest subnet, calibrated on the images, if it is to teach.

    Raises InputError where its weights are not here, and where it cannot teach.
    """
    if not task.distil:
        return None
    arch, classes = supernet.family.space.largest(), data.match.after
    foreign = match_classes(supernet.classes, [folder_name(name) for name in classes]).new
    if foreign or arch == task.parent.arch:
        why = f"has no output for {some(foreign)}" if foreign else "is this subnet itself"
        raise InputError(f"the largest subnet of {supernet.name} cannot teach: it {why}; leave --distil out")
    net = supernet.load()
    ordered = ClassMatch(supernet.classes, classes)
    teacher = with_classes(net.extract(arch), supernet, arch, ordered, task.recipe.seed)
    recalibrate_on_images(teacher, arch.resolution, data.dataset)
    say(f"answers of the largest subnet of {supernet.name}, {arch.id}, are learned where they are right")
    return Largest(arch, teacher)


def checkpoint_identity(task: Task, data: TrainingData, teacher: Largest | None) -> dict[str, str]:
    """What must be the same for a checkpoint to be continued, by what it is called."""
    return {
        "subnet": task.parent.card.card_sha256,
        "images": f"{data.dataset.sha256} {data.sha256}",
        "teacher": teacher.arch.id if teacher is not None else "none",
        **{name: str(value) for name, value in task.recipe.model_dump().items()},
    }


def ended(tuned: Tuned, recipe: FinetuningRecipe) -> str:
    """A sentence on how long it was trained, and which weights are kept."""
    early = f", as {recipe.patience} in a row were no better" if tuned.epochs < recipe.epochs else ""
    kept = f"the weights after epoch {tuned.best_epoch} are kept" if tuned.best_epoch else (
        "none was better on the validation images than the subnet before: its weights are kept, calibrated anew"
    )  # fmt: skip
    return f"trained {tuned.epochs} epochs{early}; {kept}"


def compare_on_report(
    parent: Bundle, before: nn.Module | None, after: nn.Module, data: Dataset
) -> BeforeAndAfter:
    """Both subnets on the same report images; ``before`` is the parent as it was, where it knows all classes."""
    hits = hits_of(after, parent.arch, data, "report")
    found = accuracy_of_hits(hits, "report")
    if before is None:
        return BeforeAndAfter(None, None, found)
    hits_before = hits_of(before, parent.arch, data, "report")
    right, was_right = hits[:, 0], hits_before[:, 0]
    paired = mcnemar(int((was_right & ~right).sum()), int((right & ~was_right).sum()))
    return BeforeAndAfter(accuracy_of_hits(hits_before, "report"), paired, found)


def finetuning_keys(task: Task, given: Material, tuned: Tuned, compared: BeforeAndAfter) -> Finetuning:
    """What the card says of it."""
    match, teacher = given.data.match, given.teacher
    return Finetuning(
        parent_card_sha256=task.parent.card.card_sha256,
        recipe=task.recipe,
        training_images=len(given.data.images),
        training_images_sha256=given.data.sha256,
        epochs=tuned.epochs,
        best_epoch=tuned.best_epoch,
        steps=tuned.steps,
        device_type=task.processes.device.type,
        processes=task.processes.count,
        distilled_from=teacher.arch.id if teacher is not None else None,
        classes={"kept": match.kept, "new": match.new, "gone": match.gone},
        before=asdict(compared.before) if compared.before is not None else None,
        paired=asdict(compared.paired) if compared.paired is not None else None,
    )


def write_tuned(
    task: Task,
    supernet: Supernet,
    subnet: nn.Module,
    data: Dataset,
    report: Accuracy,
    about: Finetuning,
    costs: CostsOf,
    say: Say,
) -> None:
    """The new bundle. Costs that only the parent's card knows stay where the network has as many outputs as before."""
    card, arch = task.parent.card, task.parent.arch
    same_layers = len(data.classes) == len(card.classes)
    predicted = {name: value for name, value in card.figures.predicted.items() if not name.startswith("top")}
    write_bundle(
        task.out,
        supernet,
        None,
        arch,
        data,
        {**(predicted if same_layers else {}), **costs(supernet.of_classes(data.classes), arch)},
        {"validation": evaluate(subnet, arch, data, "validation"), "report": report},
        subnet=subnet,
        device=card.device if same_layers else None,
        tuned=TunedFrom(card.supernet, about),
        parent=card,
        say=say,
    )
