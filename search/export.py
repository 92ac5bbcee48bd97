"""From a run to a bundle, and what the commands say of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cost_models.registry import OF_A_DEVICE
from search.front import pick
from search.run import Result, conclude, open_run
from search.study import Candidate
from supernet import documents
from supernet.catalog import open_supernet
from supernet.errors import InputError

if TYPE_CHECKING:
    from supernet.data import Dataset

BUNDLES = "bundles"


def export_bundle(
    folder: Path, which: str, storage: str | None, out: Path | None, say: Callable[[str], None]
) -> tuple[Path, dict[str, Any]]:
    """Export a candidate of a run's front; returns the bundle's folder and its figures."""
    result = conclude(open_run(folder, storage), say)
    candidates = list({c.arch.id: c for c in [*result.front, result.chosen]}.values())
    candidate = pick(candidates, result.run.axes, which)
    target = out or folder / BUNDLES / candidate.arch.id
    return target, export_candidate(result, candidate, target)


def export_candidate(result: Result, candidate: Candidate, target: Path) -> dict[str, Any]:
    """Write the bundle of one candidate, measured on the report split."""
    from supernet.bundle import write_bundle
    from supernet.evaluation import evaluate

    run = result.run
    measuring = run.accuracy()
    subnet = measuring.subnet(candidate.arch)
    report = evaluate(subnet, candidate.arch, measuring.data, "report")
    predicted = {f"{name}@{run.where}" if run.device and name in OF_A_DEVICE else name: value
                 for name, value in candidate.costs.items()}  # fmt: skip
    measured = {"validation": asdict(candidate.validation), "report": asdict(report)}
    bundle = write_bundle(
        target,
        run.supernet,
        measuring.net,
        candidate.arch,
        measuring.data,
        predicted,
        measured,
        subnet=subnet,
    )
    return {
        "arch_id": bundle.arch.id,
        "folder": str(target),
        "predicted": predicted,
        "measured": measured,
        "size_bytes": {path.name: path.stat().st_size for path in sorted(target.iterdir())},
    }


def verify_summary(folder: Path, supernet: str | None = None, data: str | None = None) -> dict[str, Any]:
    """What :func:`supernet.bundle.verify_bundle` finds; a card only names its supernet and data set.

    Raises InputError where they are not found by these names and not given.
    """
    from supernet.bundle import open_bundle, verify_bundle

    card = open_bundle(folder).card
    if supernet is None and card.supernet.name not in documents.names("supernets"):
        raise InputError(
            f"{folder} was cut out of the supernet {card.supernet.name}, which does not ship with oncefit; "
            "give its YAML file with --supernet"
        )
    opened = open_supernet(supernet) if supernet is not None else None
    return asdict(
        verify_bundle(folder, data_set(folder, data or card.data.name, card.classes, data is None), opened)
    )


def data_set(folder: Path, name: str, classes: tuple[str, ...], from_card: bool) -> Dataset:
    """The data set that a bundle's figures are of."""
    from supernet.data import load_dataset

    if from_card and name != "fashion_mnist" and not Path(name).is_dir():
        raise InputError(
            f"{folder} was measured on images in {name}, and there is no such folder here; "
            "oncefit verify takes it as --data, oncefit evaluate takes other images as --images"
        )
    return load_dataset(name, classes)


def evaluate_summary(folder: Path, images: Path | None) -> dict[str, Any]:
    """Accuracy and latency of a bundle, both measured here and now."""
    from cost_models.profiling import measure_latency_ms
    from supernet.bundle import evaluate_bundle, open_bundle
    from supernet.data import load_folder

    bundle = open_bundle(folder)
    if images is None:
        found = data_set(folder, bundle.card.data.name, bundle.classes, True).report
    else:
        found = load_folder(images, bundle.classes)
    accuracy = evaluate_bundle(bundle, found, "report" if images is None else str(images))
    latency = measure_latency_ms(
        folder / "model.onnx", bundle.card.preprocessing.channels, bundle.arch.resolution
    )
    return {"arch_id": bundle.arch.id, "measured": {"accuracy": asdict(accuracy), "latency": asdict(latency)}}
