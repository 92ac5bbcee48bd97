"""Training of supernets: from scratch, or from a supernet's weights on other images."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from oncefit.one_at_a_time import one_at_a_time
from oncefit.runs import showing
from supernet.errors import InputError, unknown
from supernet.messages import Say, say

if TYPE_CHECKING:
    from supernet.training.recipes import Recipe
    from supernet.training.training_job import Trained, TrainingTask
    from supernet.training.training_state import TrainingProgress

TRAININGS = Path("runs") / "training"
"""Where trainings are kept if nothing is said."""


def train(
    recipe: str | Path,
    *,
    data: str | Path | None = None,
    alone: str | None = None,
    threads: int | None = None,
    device_type: str = "auto",
    out: str | Path | None = None,
    track_carbon: bool = False,
    progress: bool | Callable[[TrainingProgress], None] = False,
    say: Say = say,
) -> Trained:
    """Train the supernet of a recipe, or with ``alone`` (small, medium or large) one of its subnets from scratch.

    ``data`` is a folder of images with ``train/`` (docs/own-data.md), by default the recipe's or the supernet's; class
    folders decide on the network's outputs. ``threads`` are torch's, by default the recipe's; ``device_type`` is auto,
    cpu, cuda or mps. Weights, ``supernet.yaml``, which every other call takes, and the learning curve are kept in
    ``out``, ``runs/training/RECIPE`` by default; the same call resumes a killed training, with the same weights in the
    end. ``track_carbon`` keeps what the training emits beside its weights, as ``supernet.emissions.json`` (or ``small``,
    ...), for ``tracked:`` of a deployment; it needs codecarbon. Raises InputError for a recipe that is not one, images
    that nothing can be learned from, a loss that is no number, and where another process trains the same in ``out``.
    """
    from supernet import documents
    from supernet.training.recipes import read_recipe
    from supernet.training.supernet_template import read_template
    from supernet.training.training_job import SIZES, TrainingTask

    if alone is not None and alone not in SIZES:
        raise unknown("size", alone, SIZES)
    path = documents.find("training", recipe)
    named = read_recipe(path)
    template = read_template(named.supernet)
    images = str(data) if data is not None else named.data or template.data
    if images is None:
        raise InputError(
            f"{path} trains {template.keys.name}, with which no images come; give a folder of images with --data, or as "
            "data: in the recipe"
        )
    folder = Path(out) if out is not None else TRAININGS / path.stem
    task = TrainingTask(template, replaced(named.recipe, threads), images, folder, alone)
    return trained_here(task, device_type, track_carbon, progress, say)


def adapt(
    supernet: str | Path,
    data: str | Path,
    *,
    recipe: str | Path | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    threads: int | None = None,
    device_type: str = "auto",
    out: str | Path | None = None,
    track_carbon: bool = False,
    progress: bool | Callable[[TrainingProgress], None] = False,
    say: Say = say,
) -> Trained:
    """Train a supernet with its weights on, on the images in ``data``: a supernet of its own.

    ``supernet`` is a name, or a YAML file; ``data`` a folder of images with ``train/`` (docs/own-data.md). Its head is
    replaced where the class folders are other classes than the network's, and its first layer is made for colour or grey
    where the network can be built for both. ``recipe`` is a YAML file of keys of ``configs/training/adapt.yaml`` that
    shall be otherwise. All else is as in :func:`train`; ``out`` is ``runs/training/SUPERNET-DATA`` by default.
    """
    from supernet.families.catalog import open_supernet
    from supernet.training.adapting import name_for, template_for
    from supernet.training.processes import is_first_process
    from supernet.training.recipes import read_adapting_recipe
    from supernet.training.training_images import training_classes
    from supernet.training.training_job import TrainingTask

    keys = read_adapting_recipe(
        Path(recipe) if recipe is not None else None, {"epochs": epochs, "seed": seed, "threads": threads}
    )
    training_classes(Path(data))  # what is wrong at first sight is told before weights are looked for
    start = open_supernet(str(supernet))
    start.weights_sha256  # noqa: B018  # raises where they are not here
    template = template_for(start, str(supernet), Path(data), say if is_first_process() else lambda _: None)
    folder = Path(out) if out is not None else TRAININGS / name_for(start.name, Path(data))
    task = TrainingTask(template, keys, str(data), folder, start=start)
    return trained_here(task, device_type, track_carbon, progress, say)


def replaced(recipe: Recipe, threads: int | None) -> Recipe:
    """The recipe with other threads where these are given."""
    return recipe if threads is None else replace(recipe, threads=threads)


def trained_here(
    task: TrainingTask,
    device_type: str,
    track_carbon: bool,
    progress: bool | Callable[[TrainingProgress], None],
    say: Say,
) -> Trained:
    """Train in the processes that there are, on a device of the type; the first one speaks."""
    from cost_models.tracking import TRACKED, tracked_here
    from search.reports.progress import training_progress
    from supernet.atomic import check_writable
    from supernet.training import training_job
    from supernet.training.finetuning import torch_device
    from supernet.training.processes import joined_processes

    check_writable(task.out)
    ledger = task.weights.with_suffix(f".{TRACKED}")
    with joined_processes(torch_device(device_type)) as processes:
        first = processes.is_first
        with (
            one_at_a_time(task.weights, "trains") if first else nullcontext(),
            tracked_here(ledger, track_carbon and first),
            showing(progress if first else False, training_progress) as show,
        ):
            return training_job.run_training(task, processes, show, say if first else lambda _: None)
