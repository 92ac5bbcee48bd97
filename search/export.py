"""From a run to a bundle, and what the commands say of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cost_models.registry import OF_A_DEVICE
from search.front import pick
from search.run import Result, conclude, open_run
from search.study import Candidate

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


def verify_summary(folder: Path) -> dict[str, Any]:
    from supernet.bundle import open_bundle, verify_bundle
    from supernet.data import load_dataset

    bundle = open_bundle(folder)
    verification = verify_bundle(folder, load_dataset(bundle.card.data.name))
    return asdict(verification)


def evaluate_summary(folder: Path, images: Path | None) -> dict[str, Any]:
    """Accuracy and latency of a bundle, both measured here and now."""
    from cost_models.profiling import measure_latency_ms
    from supernet.bundle import evaluate_bundle, open_bundle
    from supernet.data import load_dataset, load_folder

    bundle = open_bundle(folder)
    if images is None:
        found = load_dataset(bundle.card.data.name).report
    else:
        found = load_folder(images, bundle.classes)
    accuracy = evaluate_bundle(bundle, found, "report" if images is None else str(images))
    latency = measure_latency_ms(
        folder / "model.onnx", bundle.card.preprocessing.channels, bundle.arch.resolution
    )
    return {"arch_id": bundle.arch.id, "measured": {"accuracy": asdict(accuracy), "latency": asdict(latency)}}
