"""Fine-tuning: a subnet trained on, on images of its user's."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from oncefit.bundles import Bundle, open_bundle
from oncefit.one_at_a_time import one_at_a_time
from oncefit.runs import Run, open_run, showing
from supernet.archs.arch import BITS_OF, INT8
from supernet.errors import InputError, unknown
from supernet.messages import Say, say

if TYPE_CHECKING:
    from supernet.training.processes import Processes
    from supernet.training.training_state import TrainingProgress

FINETUNED = Path("runs") / "finetuned"
"""Where new bundles are written if nothing is said."""


def finetune(
    source: str | Path | Bundle | Run,
    data: str | Path,
    *,
    epochs: int | None = None,
    seed: int | None = None,
    recipe: str | Path | None = None,
    distil: bool = False,
    precision: str = "fp32",
    device_type: str = "auto",
    supernet: str | Path | None = None,
    out: str | Path | None = None,
    progress: bool | Callable[[TrainingProgress], None] = False,
    say: Say = say,
) -> Bundle:
    """Train a subnet on, on the images in ``data``, and write a new bundle with the accuracy before and after.

    ``source`` is a bundle, or a run, whose chosen subnet is exported first; ``data`` a folder of images with ``train/``
    (docs/own-data.md). Its class folders decide on the outputs: the head is replaced where they are other classes than
    the network's. ``recipe`` is a YAML file of keys of ``configs/training/finetune.yaml`` that shall be otherwise.
    With ``precision`` int8 it is trained in simulated 8 bits, for a bundle in int8. ``distil`` has the supernet's largest subnet teach, where it has all classes. ``device_type`` is auto, cpu, cuda or
    mps; ``supernet`` is what the bundle was cut out of, where that is a description of your own. The bundle is kept in
    ``out``, ``runs/finetuned/ARCH-DATA`` by default; the same call resumes a killed one, with the same weights in the
    end. Raises InputError for wrong images and settings, where another process fine-tunes into ``out``, and where the loss
    is no number.
    """
    from search.reports.finetuning import compute_costs, tuned_summary
    from search.reports.progress import training_progress
    from supernet.atomic import check_writable
    from supernet.bundles.finetuning_job import Task, run_task
    from supernet.training.finetuning import torch_device
    from supernet.training.finetuning_recipe import read_finetuning_recipe
    from supernet.training.processes import joined_processes
    from supernet.training.training_images import training_classes

    if precision not in BITS_OF:
        raise unknown("precision", precision, BITS_OF)
    in_int8 = precision == INT8
    keys = read_finetuning_recipe(
        Path(recipe) if recipe is not None else None, {"epochs": epochs, "seed": seed}, in_int8
    )
    images = Path(data)
    training_classes(images)  # what is wrong at first sight is told before a run's subnet is exported
    check_writable(Path(out) if out is not None else FINETUNED)
    with joined_processes(torch_device(device_type)) as processes:
        parent = parent_bundle(source, supernet, processes)
        folder = (
            Path(out)
            if out is not None
            else FINETUNED / "-".join((parent.arch.id, images.absolute().name, *([INT8] if in_int8 else [])))
        )
        task = Task(parent.opened, images, keys, folder, processes, distil, in_int8)
        lock = one_at_a_time(folder, "fine-tunes into") if processes.is_first else nullcontext()
        with lock, showing(progress if processes.is_first else False, training_progress) as show:
            made = run_task(task, compute_costs, show, say if processes.is_first else lambda _: None)
    return Bundle(made, tuned_summary(made))


def parent_bundle(
    source: str | Path | Bundle | Run, supernet: str | Path | None, processes: Processes
) -> Bundle:
    """The bundle to begin with; that of a run's chosen subnet is exported, by the first process, where it is not there."""
    from search.reports.export import require_shipped

    if not processes.is_first:
        processes.wait()
    found = find_parent(source, supernet)
    if found.opened.supernet is None:
        require_shipped(found.opened)
    if processes.is_first:
        processes.wait()
    return found


def find_parent(source: str | Path | Bundle | Run, supernet: str | Path | None) -> Bundle:
    """A bundle as it is, or that of a run's chosen subnet, which is exported where it is not there yet."""
    from search.reports.export import BUNDLES, bundle_folder_name
    from search.runs.run import CONFIG
    from supernet.bundles.bundle_card import CARD

    if isinstance(source, Bundle):
        return source
    if not isinstance(source, Run):
        if (Path(source) / CARD).is_file():
            return open_bundle(source, supernet=supernet)
        if not (Path(source) / CONFIG).is_file():
            raise InputError(
                f"{source} is neither a bundle, which has {CARD}, nor a run, which has {CONFIG}; oncefit export writes the "
                "one and oncefit search the other"
            )
        source = open_run(source, supernet=supernet)
    measured = source.result.run.accuracy.data_name is not None
    folder = source.folder / BUNDLES / bundle_folder_name(source.chosen, measured)
    if (folder / CARD).is_file():
        return open_bundle(folder, supernet=source.supernet)
    return source.export(calibrated=measured)
