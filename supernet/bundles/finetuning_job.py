"""One fine-tuning: from a bundle and a folder of images to a new bundle with both figures on its card."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from supernet.accuracy import Accuracy, Paired, mcnemar_of
from supernet.archs.arch import BITS_OF, INT8, PRECISION, Arch
from supernet.bundles.bundle import Bundle, check_replaceable, open_bundle, write_bundle
from supernet.bundles.bundle_card import Card, Finetuning, TunedFrom
from supernet.bundles.onnx_export import export_onnx
from supernet.errors import InputError, some
from supernet.evaluating.evaluation import (
    accuracy_of_hits,
    evaluate,
    hits_of,
    hits_of_answers,
    recalibrate_on_images,
)
from supernet.evaluating.onnx_sessions import network_in
from supernet.families.catalog import Supernet, open_supernet
from supernet.images.class_folders import folder_name
from supernet.images.data import Dataset
from supernet.images.data_summary import left_out, of_dataset, suspicion
from supernet.messages import Say
from supernet.quantising.choosing import calibration_inputs
from supernet.quantising.onnx_quantising import quantise_onnx
from supernet.training.finetuning import Tuned, finetune
from supernet.training.finetuning_recipe import FinetuningRecipe
from supernet.training.heads import ClassMatch, match_classes, put_weights
from supernet.training.processes import Processes
from supernet.training.simulated_int8 import measure_ranges, simulated_int8
from supernet.training.training_batches import Batches
from supernet.training.training_images import TrainingData, load_training_data
from supernet.training.training_state import TrainingProgress

CostsOf = Callable[[Supernet, Arch], Mapping[str, float]]
"""What a subnet of a network is predicted to cost, by the names of the costs."""


@dataclass(frozen=True)
class Task:
    """What is asked for. ``distil`` has the supernet's largest subnet teach; ``out`` is the new bundle's folder.

    ``in_int8`` trains in simulated 8 bits, for a bundle of that precision.
    """

    parent: Bundle
    folder: Path
    recipe: FinetuningRecipe
    out: Path
    processes: Processes
    distil: bool = False
    in_int8: bool = False

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
    if task.in_int8 and task.processes.count > 1:
        raise InputError(
            f"8 bits are simulated by one process, and there are {task.processes.count}: start it without torchrun, or "
            "leave --precision int8 out"
        )
    if task.parent.card.precision is not None and not task.in_int8:
        say(
            f"{task.parent.folder} is in int8, and what is made of it in float32; --precision int8 makes it in int8"
        )
    given = open_material(task, say)
    tuned = train_on(task, given, report)
    say(ended(tuned, task.recipe, task.in_int8))
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

    def calibrated(self, task: Task) -> nn.Module:
        """The same as it is before an epoch, with statistics of the images where it had none or where its head is another."""
        subnet = self.subnet(task)
        if not task.parent.card.calibrated or self.data.match.new:
            recalibrate_on_images(subnet, task.parent.arch.resolution, self.data.dataset)
        return subnet


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

    def in_float32(net: nn.Module) -> float:
        recalibrate_on_images(net, parent.arch.resolution, given.data.dataset)
        return evaluate(net, parent.arch, given.data.dataset, "validation").top1

    if task.in_int8:
        net, validate = simulated(task, given)
    else:
        net, validate = given.subnet(task), in_float32
    return finetune(
        net,
        batches,
        teacher.net.to(processes.device) if teacher is not None else None,
        processes,
        task.checkpoint,
        checkpoint_identity(task, given.data, teacher),
        validate,
        report,
    )


def simulated(task: Task, given: Material) -> tuple[nn.Module, Callable[[nn.Module], float]]:
    """The subnet in simulated 8 bits, and what measures one on validation images, with ranges measured anew."""
    data, arch = given.data.dataset, task.parent.arch
    subnet = given.calibrated(task)
    images = torch.from_numpy(calibration_inputs(data, arch.resolution))
    made = simulated_int8(subnet)
    measure_ranges(made, images)

    def validate(net: nn.Module) -> float:
        net.eval()
        measure_ranges(net, images)
        [(_, hits)] = hits_of_answers(net, arch.resolution, data, "validation", [range(len(data.validation))])
        return accuracy_of_hits(hits, "validation").top1

    return made, validate


def measure_and_write(task: Task, given: Material, tuned: Tuned, costs: CostsOf, say: Say) -> None:
    """Calibrate the best weights, look at the report images, and write the new bundle in place of the checkpoint."""
    data, arch = given.data.dataset, task.parent.arch
    subnet = trained_subnet(task, given, tuned)
    say(f"measuring accuracy on {len(data.report):,} report images")
    before = given.subnet(task) if not given.data.match.new else None
    if before is not None and not task.parent.card.calibrated:
        recalibrate_on_images(before, arch.resolution, data)
    with tempfile.TemporaryDirectory(prefix="oncefit-") as scratch:
        path = Path(scratch) / "int8.onnx" if task.in_int8 else None
        measured = compare_in_int8(arch, before, subnet, data, path) if path is not None else (
            *compare_on_report(task.parent, before, subnet, data), evaluate(subnet, arch, data, "validation")
        )  # fmt: skip
        compared, validation = BeforeAndAfter(*measured[:3]), measured[3]
        if (doubt := suspicion(compared.after, data.report, len(data.classes))) is not None:
            say(doubt)
        if undecodable := {**given.data.images.undecodable, **data.undecodable}:
            say(left_out(undecodable))
        about = finetuning_keys(task, given, tuned, compared)
        figures = {"validation": validation, "report": compared.after}
        write_tuned(task, given.supernet, subnet, data, figures, about, costs, path, say)
    task.checkpoint.unlink(missing_ok=True)


def trained_subnet(task: Task, given: Material, tuned: Tuned) -> nn.Module:
    """With the weights that are kept; statistics of batch norms are as they were in training where 8 bits were simulated."""
    if task.in_int8:
        subnet = given.calibrated(task)
        simulated_int8(subnet).load_state_dict(tuned.state)
        return subnet.eval()
    subnet = given.subnet(task)
    subnet.load_state_dict(tuned.state)
    recalibrate_on_images(subnet, task.parent.arch.resolution, given.data.dataset)
    return subnet


def compare_in_int8(
    arch: Arch, before: nn.Module | None, after: nn.Module, data: Dataset, path: Path
) -> tuple[Accuracy | None, Paired | None, Accuracy, Accuracy]:
    """As :func:`compare_on_report`, both quantised alike in ONNX Runtime; then validation. ``path`` becomes the file of ``after``."""

    def hits_in_int8(subnet: nn.Module, split: str) -> Tensor:
        images = calibration_inputs(data, arch.resolution)
        source = path.with_name("float32.onnx")
        export_onnx(subnet, images.shape[1], arch.resolution, source)
        quantise_onnx(source, path, images)
        return hits_in_file(path, arch, data, split)

    hits_before = hits_in_int8(before, "report") if before is not None else None
    hits = hits_in_int8(after, "report")
    found = accuracy_of_hits(hits, "report")
    validation = accuracy_of_hits(hits_in_file(path, arch, data, "validation"), "validation")
    if hits_before is None:
        return None, None, found, validation
    return accuracy_of_hits(hits_before, "report"), paired_hits(hits_before, hits), found, validation


def hits_in_file(path: Path, arch: Arch, data: Dataset, split: str) -> Tensor:
    """Of an ONNX file in ONNX Runtime."""
    every = [range(len(getattr(data, split)))]
    [(_, hits)] = hits_of_answers(network_in(path), arch.resolution, data, split, every)
    return hits


def paired_hits(before: Tensor, after: Tensor) -> Paired:
    """McNemar's test of the images that only one of two gets right."""
    return mcnemar_of(before[:, 0], after[:, 0])


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
        **({"precision": INT8} if task.in_int8 else {}),
        **{name: str(value) for name, value in task.recipe.model_dump().items()},
    }


def ended(tuned: Tuned, recipe: FinetuningRecipe, in_int8: bool = False) -> str:
    """A sentence on how long it was trained, and which weights are kept."""
    early = f", as {recipe.patience} in a row were no better" if tuned.epochs < recipe.epochs else ""
    kept = f"the weights after epoch {tuned.best_epoch} are kept" if tuned.best_epoch else (
        "none was better on the validation images than the subnet before: its weights are kept"
        + ("" if in_int8 else ", calibrated anew")
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
    return BeforeAndAfter(accuracy_of_hits(hits_before, "report"), paired_hits(hits_before, hits), found)


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
        precision="int8" if task.in_int8 else None,
    )


def at_int8(supernet: Supernet, arch: Arch) -> Arch:
    """The same network, which says that it is in 8 bits."""
    values = {**arch.network.to_dict()["choices"], PRECISION: BITS_OF[INT8]}  # type: ignore[dict-item]
    return supernet.at_precisions((INT8,)).space.from_dict({"space": arch.space, "choices": values})


def costs_as(card: Card, outputs: int, in_int8: bool) -> bool:
    """Whether a network of so many outputs costs what a card says: that of another precision does not."""
    return not in_int8 and card.precision is None and outputs == len(card.classes)


def write_tuned(
    task: Task,
    supernet: Supernet,
    subnet: nn.Module,
    data: Dataset,
    measured: Mapping[str, Accuracy],
    about: Finetuning,
    costs: CostsOf,
    int8_file: Path | None,
    say: Say,
) -> None:
    """The new bundle. Costs that only the parent's card knows stay where they are those of the network still."""
    card, arch = task.parent.card, task.parent.arch
    as_before = costs_as(card, len(data.classes), task.in_int8)
    predicted = {name: value for name, value in card.figures.predicted.items() if not name.startswith("top")}
    of_classes = supernet.of_classes(data.classes)
    predicted_now = (
        costs(of_classes, arch) if int8_file is None
        else costs(of_classes.at_precisions((INT8,)), at_int8(of_classes, arch))
    )  # fmt: skip
    write_bundle(
        task.out,
        supernet,
        None,
        arch,
        data,
        {**(predicted if as_before else {}), **predicted_now},
        measured,
        subnet=subnet,
        device=card.device if as_before else None,
        quantise=partial(shutil.copyfile, int8_file) if int8_file is not None else None,
        tuned=TunedFrom(card.supernet, about),
        parent=card,
        say=say,
    )
