"""Fronts of several runs side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cost_models.registry import OF_A_DEVICE
from search.problem.limits import check_limit
from search.problem.objectives import Objective
from search.reports.csv_text import csv_text
from search.reports.plots import COLOURS, draw_steps, new_figure, save
from search.reports.report import as_dict as as_candidate
from search.reports.units import amount, heading, scaled
from search.runs.config import OWN
from search.runs.front import Coverage, best, coverage, dominated_share, front, points
from search.runs.run import Run, open_run, settled
from search.runs.study import PLACE, Candidate, identity_of, lasting, read_place
from supernet import documents
from supernet.errors import InputError

if TYPE_CHECKING:
    import optuna
    from matplotlib.figure import Figure
    from rich.table import Table

COMPARISON_CSV, COMPARISON_PNG, COMPARISON_JSON = "comparison.csv", "comparison.png", "comparison.json"


@dataclass(frozen=True)
class Compared:
    """One run in the comparison; accuracies are all of the validation split, or all by one predictor."""

    run: Run
    label: str
    front: list[Candidate]
    coverage: Coverage
    dominated_by: dict[str, float]
    best_at: dict[float, Candidate | None]


@dataclass(frozen=True)
class Comparison:
    axes: tuple[Objective, Objective]
    runs: list[Compared]

    @property
    def kind(self) -> str:
        """How accuracies are called."""
        run = self.runs[0].run
        if run.predictor is None:
            return f"by {run.kind}" if run.config.accuracy == OWN else "on the validation split"
        if run.measures:
            return "on the validation split"
        return f"predicted by {run.predictor.card.name}"


def compare(
    folders: Sequence[Path], cost: str | None, at: Sequence[float], storage: str | None = None
) -> Comparison:
    """Compare the fronts of runs in accuracy against one cost that all of them record.

    ``at`` are budgets of that cost; without any, the quartiles of the common range are taken.
    ``storage`` is the full URL of the runs whose study is there, if it needs a password. Raises
    InputError for fewer than two runs, other images or a cost that a run lacks.
    """
    for budget in at:
        check_limit(budget, "--at")
    different = {folder.resolve(): folder for folder in reversed(folders)}
    if len(different) < 2:
        raise InputError(
            f"compare needs at least two different run folders; got {', '.join(map(str, folders)) or 'none'}"
        )
    runs = [open_run(folder, storage_of(folder, storage)) for folder in reversed(different.values())]
    axes = common_axes(runs, cost)
    studies = [run.study() for run in runs]
    check_comparable(runs, studies)
    found = [settled(run, study) for study, run in zip(studies, runs, strict=True)]
    for run, some in zip(runs, found, strict=True):
        if not some:
            raise InputError(f"{run.folder} has no candidate yet; finish the search first")
    fronts = [front(some, axes) for some in found]
    signed = [points(one, axes) for one in fronts]
    covered = coverage(signed)
    budgets = list(at) or default_budgets([p[:, 1] for p in signed])
    names = labels(runs, axes[1])
    compared = []
    for i, run in enumerate(runs):
        others = {names[j]: dominated_share(signed[i], signed[j]) for j in range(len(runs)) if j != i}
        reached = {b: best_within(found[i], axes, b) for b in budgets}
        compared.append(Compared(run, names[i], fronts[i], covered[i], others, reached))
    return Comparison(axes, compared)


def storage_of(folder: Path, url: str | None) -> str | None:
    """``url`` for a run whose study is there."""
    if url is None or not (folder / PLACE).is_file():
        return None
    return url if read_place(folder, None).storage == lasting(url) else None


def check_comparable(runs: Sequence[Run], studies: Sequence[optuna.Study]) -> None:
    """Raises InputError where accuracies are of different images, or by different predictors, or of both kinds.

    Other weights and networks may be compared.
    """
    of = [
        f"measured on images with sha256 {identity.get('images')}"
        if run.measures
        else run.kind
        if run.config.accuracy == OWN
        else f"predicted by {identity.get('predictor')}"
        for run, identity in zip(runs, map(identity_of, studies), strict=True)
    ]
    for run, told in zip(runs, of, strict=True):
        if told != of[0]:
            raise InputError(
                f"accuracy of {run.folder} is {told}, that of {runs[0].folder} is {of[0]}: "
                "their fronts cannot be compared; search with the same data or the same predictor"
            )


def common_axes(runs: Sequence[Run], cost: str | None) -> tuple[Objective, Objective]:
    """The first run's accuracy, and the cost asked for, else one that a run was searched for."""
    shared = [name for name in runs[0].costs if all(name in run.costs for run in runs)]
    name = cost or next((run.axes[1].name for run in runs if len(run.problem.objectives) > 1), None)
    name = name or next((run.axes[1].name for run in runs if run.axes[1].name in shared), "macs")
    if name not in shared:
        raise InputError(f"not every run records the cost {name!r}; all of them record {', '.join(shared)}")
    return runs[0].problem.objectives[0], Objective(name)


def labels(runs: Sequence[Run], cost: Objective) -> list[str]:
    """The runs' folders, with supernet and device where these differ and matter."""
    supernets = [run.supernet.name for run in runs]
    devices = [run.where if cost.name in OF_A_DEVICE else "" for run in runs]
    told = [names for names in (supernets, devices) if len(set(names)) > 1]
    return [
        f"{run.folder} ({', '.join(names[i] for names in told)})" if told else str(run.folder)
        for i, run in enumerate(runs)
    ]


def default_budgets(costs: Sequence[np.ndarray]) -> list[float]:
    """The quartiles between what every front reaches at least and the dearest point of any."""
    low, high = max(c.min() for c in costs), max(c.max() for c in costs)
    return (
        [float(f"{low + share * (high - low):.3g}") for share in (0.25, 0.5, 0.75, 1.0)]
        if high > low
        else [float(high)]
    )


def best_within(found: Sequence[Candidate], axes: Sequence[Objective], budget: float) -> Candidate | None:
    inside = [candidate for candidate in found if candidate.value(axes[1].name) <= budget]
    return best(inside, axes) if inside else None


def as_dict(comparison: Comparison) -> dict[str, Any]:
    accuracy, cost = comparison.axes
    reference = comparison.runs[0].coverage.reference
    return {
        "accuracy": accuracy.name,
        "accuracy_is": comparison.kind,
        "cost": cost.name,
        "reference_point": {accuracy.name: accuracy.signed(reference[0]), cost.name: reference[1]},
        "runs": [
            {
                "run": one.label,
                "front_size": len(one.front),
                "hypervolume": one.coverage.hypervolume,
                "share_dominated_by": one.dominated_by,
                "best_at": [
                    {
                        "budget": budget,
                        **({accuracy.name: c.value(accuracy.name), "arch_id": c.arch.id} if c else {}),
                    }
                    for budget, c in one.best_at.items()
                ],
            }
            for one in comparison.runs
        ],
    }


def write(comparison: Comparison, folder: Path) -> list[Path]:
    """The fronts as CSV, the comparison as JSON, and both fronts in one plot."""
    accuracy = comparison.axes[0]
    csv, png, js = (folder / name for name in (COMPARISON_CSV, COMPARISON_PNG, COMPARISON_JSON))
    rows = [
        {"run": one.label, "arch_id": c.arch.id, f"{one.run.kind.split()[0]}_{accuracy.name}": c.value(accuracy.name),
         **{f"predicted_{name}": value for name, value in c.costs.items()}}
        for one in comparison.runs for c in one.front
    ]  # fmt: skip
    documents.write_text(csv, csv_text(rows))
    documents.write_text(js, json.dumps(as_dict(comparison), indent=2) + "\n")
    save(comparison_figure(comparison), png)
    return [csv, png, js]


def comparison_figure(comparison: Comparison) -> Figure:
    """All fronts in one figure."""
    accuracy, cost = comparison.axes
    figure, axes = new_figure()
    for i, one in enumerate(comparison.runs):
        label = f"{one.label} (hypervolume {one.coverage.hypervolume:.3f})"
        draw_steps(axes, one.front, accuracy, cost, COLOURS[i % len(COLOURS)], label)
    axes.set_xlabel(heading(cost.name))
    axes.set_ylabel(f"{accuracy.name.replace('top', 'top-')} (%) {comparison.kind}")
    axes.set_title("Fronts compared; higher and further left is better")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure


def tables(comparison: Comparison) -> list[Table]:
    """The fronts' figures, and the best accuracy at each budget."""
    from rich import box
    from rich.table import Table

    accuracy, cost = comparison.axes
    reference = comparison.runs[0].coverage.reference
    named = accuracy.name.replace("top", "top-")
    summary = Table(
        box=box.SIMPLE_HEAD,
        title=f"Fronts: {named} {comparison.kind}, {heading(cost.name)}",
        title_justify="left",
        caption="Hypervolume: share of the box up to the reference point "
        f"{100 * accuracy.signed(reference[0]):.2f} %, {amount(cost.name, reference[1])}",
        caption_justify="left",
    )
    reached = Table(
        box=box.SIMPLE_HEAD,
        title=f"Best {named} (%) within budgets: {heading(cost.name)}",
        title_justify="left",
    )
    for heading_text in ("run", "front", "hypervolume", "dominated by the others"):
        summary.add_column(heading_text, justify="left" if heading_text == "run" else "right")
    reached.add_column("run")
    for budget in comparison.runs[0].best_at:
        reached.add_column(f"{scaled(cost.name, budget):.4g}", justify="right")
    for one in comparison.runs:
        dominated = ", ".join(f"{100 * share:.0f} %" for share in one.dominated_by.values())
        summary.add_row(one.label, str(len(one.front)), f"{one.coverage.hypervolume:.4f}", dominated)
        reached.add_row(
            one.label,
            *("-" if c is None else f"{100 * c.value(accuracy.name):.2f}" for c in one.best_at.values()),
        )
    return [summary, reached]


def to_json(comparison: Comparison) -> dict[str, Any]:
    return {**as_dict(comparison), "fronts": {
        one.label: [as_candidate(c, {}) for c in one.front]
        for one in comparison.runs
    }}  # fmt: skip
