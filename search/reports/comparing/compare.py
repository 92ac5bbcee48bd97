"""Fronts of several runs side by side."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cost_models.registry import OF_A_DEVICE
from search.feasible.budget_messages import round_up
from search.problem.limits import check_limit
from search.problem.objectives import Objective
from search.reports import words
from search.reports.comparing import verdict_words
from search.reports.comparing.front_area import Ordered, ReferencePoint, orders, reference_point
from search.reports.comparing.significance import FoundHits, Significance, significance
from search.reports.comparing.verdict_tables import verdict_tables
from search.reports.csv_text import csv_text
from search.reports.figures.plots import COLOURS, as_typed_texts, draw_steps, new_figure, save_figure
from search.reports.report import candidate_dict as as_candidate
from search.reports.report import range_figures
from search.reports.units import amount, heading, scaled
from search.runs.config import OWN
from search.runs.front import Coverage, best, coverage, dominated_share, front, points
from search.runs.opening import open_run
from search.runs.report_hits import measure_hits, report_hits
from search.runs.results import chosen_of, finalists, verified_among
from search.runs.run import Run
from search.runs.study import PLACE, Candidate, identity_of, read_place
from search.storages.following import forget_trials
from search.storages.urls import lasting
from supernet import documents
from supernet.errors import InputError
from supernet.messages import Say, say

if TYPE_CHECKING:
    import optuna
    from matplotlib.figure import Figure
    from rich.table import Table

UNCORRECTED = "As searched: the best of more candidates owes more of it to luck."
"""Of accuracies on the validation split, which are not corrected for having been chosen here."""
LONGEST_NAME = 120
"""Of a folder; a longer one ends with a hash."""
COMPARISON_CSV, COMPARISON_PNG, COMPARISON_JSON = "comparison.csv", "comparison.png", "comparison.json"


@dataclass(frozen=True)
class Compared:
    """One run in the comparison; accuracies are all of the validation split, or all by one predictor.

    ``coverage`` is None, and ``dominated_by`` empty, where costs are of different devices, whose axes are not one.
    """

    run: Run
    label: str
    front: list[Candidate]
    coverage: Coverage | None
    dominated_by: dict[str, float]
    best_at: dict[float, Candidate | None]
    chosen: Candidate


@dataclass(frozen=True)
class Comparison:
    """``significance`` is of the report images; ``orders`` are of hypervolumes under reference points near and far."""

    axes: tuple[Objective, Objective]
    runs: list[Compared]
    significance: Significance
    orders: tuple[Ordered, ...]

    @property
    def one_axis(self) -> bool:
        """Whether costs are of the same device, or of none, so that fronts may dominate each other."""
        return self.runs[0].coverage is not None

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
    folders: Sequence[Path],
    cost: str | None,
    at: Sequence[float],
    storage: str | None = None,
    reference: ReferencePoint | None = None,
    measure: bool = False,
    say: Say = say,
) -> Comparison:
    """Compare the fronts of runs in accuracy against one cost that all of them record, and every run with the first.

    ``at`` are budgets of that cost; without any, the quartiles of the common range are taken.
    Where the cost is of a device, and the runs are of different ones, fronts stand side by side and none is said
    to dominate another. ``storage`` is the full URL of the runs whose study is there, if it needs a password. Hypervolumes
    are against ``reference``. With ``measure``, subnets are measured on the report split where it is not kept which of its
    images they get right. Raises InputError for fewer than two runs, other images or a cost that a run lacks.
    """
    for budget in at:
        check_limit(budget, "--at")
    different = {folder.resolve(): folder for folder in reversed(folders)}
    if len(different) < 2:
        raise InputError(
            f"compare needs at least two different run folders; got {', '.join(map(str, folders)) or 'none'}"
        )
    given = list({folder.resolve(): folder for folder in folders})
    runs = [open_run(different[path], study_storage(different[path], storage)) for path in given]
    axes = common_axes(runs, cost)
    studies = [run.study() for run in runs]
    check_comparable(runs, studies)
    fronts, chosen = zip(*(front_and_chosen(run, axes) for run in runs), strict=True)
    signed = [points(one, axes) for one in fronts]
    comparable = axes[1].name not in OF_A_DEVICE or len({run.identity["device"] for run in runs}) == 1
    if reference is not None and not comparable:
        raise InputError(
            f"--reference: {of_other_devices(axes[1])}, so there is no hypervolume; leave it out, or choose --cost macs"
        )
    covered: list[Coverage] | list[None] = (
        coverage(signed, reference_point(reference, signed, axes)) if comparable else [None] * len(runs)
    )
    budgets = list(at) or default_budgets([p[:, 1] for p in signed])
    names = run_labels(runs, axes[1])
    compared = []
    for i, run in enumerate(runs):
        rest = [j for j in range(len(runs)) if j != i and comparable]
        others = {names[j]: dominated_share(signed[i], signed[j]) for j in rest}
        reached = {b: best_within(fronts[i], axes, b) for b in budgets}
        compared.append(Compared(run, names[i], fronts[i], covered[i], others, reached, chosen[i]))
    weighed = significance(
        [with_hits(*pair, measure, say) for pair in zip(compared, studies, strict=True)], axes
    )
    return Comparison(axes, compared, weighed, orders(signed) if comparable else ())


def front_and_chosen(run: Run, axes: Sequence[Objective]) -> tuple[list[Candidate], Candidate]:
    """All that a comparison needs of a run's candidates; these and their trials are too many to keep those of all runs."""
    found = finalists(run, run.study(), axes)
    if not found:
        raise InputError(f"{run.folder} has no candidate yet; finish the search first")
    forget_trials(run.study())
    return front(found, axes), chosen_of(run, found, verified_among(run, found))


def with_hits(one: Compared, study: optuna.Study, measure: bool, say: Say) -> FoundHits:
    """A run with the bits that are kept of its subnets; with ``measure`` those that are not are made."""

    def kept() -> FoundHits:
        hits = report_hits(one.run, study)
        return FoundHits(one.run, one.label, one.chosen, one.front, one.best_at, one.coverage, hits)

    found = kept()
    if measure and one.run.measures and found.lacking:
        measure_hits(one.run, study, [c.arch for c in found.wanted], say)
        return kept()
    return found


def study_storage(folder: Path, url: str | None) -> str | None:
    """``url`` for a run whose study is there."""
    if url is None or not (folder / PLACE).is_file():
        return None
    known = read_place(folder, None).storage
    return url if known is not None and lasting(known) == lasting(url) else None


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


def run_labels(runs: Sequence[Run], cost: Objective) -> list[str]:
    """The runs' folders, with supernet and device where these differ and matter."""
    supernets = [run.supernet.name for run in runs]
    devices = device_names(runs) if cost.name in OF_A_DEVICE else [""]
    told = [names for names in (supernets, devices) if len(set(names)) > 1]
    return [
        f"{run.folder} ({', '.join(names[i] for names in told)})" if told else str(run.folder)
        for i, run in enumerate(runs)
    ]


def device_names(runs: Sequence[Run]) -> list[str]:
    """The devices' names, with the date of measurement where two of one name differ."""
    digests = {run.where: {one.identity["device"] for one in runs if one.where == run.where} for run in runs}
    return [
        f"{run.where} of {run.device.date}"
        if run.device is not None and run.device.date and len(digests[run.where]) > 1
        else run.where
        for run in runs
    ]


def default_budgets(costs: Sequence[np.ndarray]) -> list[float]:
    """The quartiles between what every front reaches at least and the dearest point of any, which the last includes.

    Three digits, rounded up.
    """
    low, high = max(c.min() for c in costs), max(c.max() for c in costs)
    return (
        [round_up(low + share * (high - low), 3) for share in (0.25, 0.5, 0.75, 1.0)]
        if high > low
        else [float(high)]
    )


def best_within(found: Sequence[Candidate], axes: Sequence[Objective], budget: float) -> Candidate | None:
    """The best of candidates, which is on their front, or of their front."""
    inside = [candidate for candidate in found if candidate.value(axes[1].name) <= budget]
    return best(inside, axes) if inside else None


def comparison_dict(comparison: Comparison) -> dict[str, Any]:
    accuracy, cost = comparison.axes
    covered = comparison.runs[0].coverage
    return {
        "accuracy": accuracy.name,
        "accuracy_is": comparison.kind,
        "cost": cost.name,
        "studies": studies_of(comparison),
        **(
            {
                "reference_point": {
                    accuracy.name: accuracy.signed(covered.reference[0]),
                    cost.name: covered.reference[1],
                }
            }
            if covered is not None
            else {"not_one_axis": of_other_devices(cost)}
        ),
        "runs": [
            {
                "run": one.label,
                "front_size": len(one.front),
                **(
                    {"power_meter": one.run.power_meter}
                    if cost.name in words.OF_POWER and one.run.power_meter
                    else {}
                ),
                **(
                    {"hypervolume": one.coverage.hypervolume, "share_dominated_by": one.dominated_by}
                    if one.coverage is not None
                    else {}
                ),
                "best_at": [
                    {
                        "budget": budget,
                        **(
                            {
                                accuracy.name: c.value(accuracy.name),
                                **costs_of(one.run, c, cost),
                                "arch_id": c.arch.id,
                            }
                            if c
                            else {}
                        ),
                    }
                    for budget, c in one.best_at.items()
                ],
            }
            for one in comparison.runs
        ],
        "significance": verdict_words.significance_dict(comparison.significance),
        "reference_points": verdict_words.orders_dict(
            comparison.orders, [one.label for one in comparison.runs]
        ),
    }


def costs_of(run: Run, candidate: Candidate, cost: Objective) -> dict[str, float]:
    """What a candidate costs by prediction, with the range of it where it has one."""
    ranged = {name: found for name, found in run.ranges(candidate).items() if name == cost.name}
    figures = {cost.name: candidate.value(cost.name)} | range_figures(ranged)
    return {f"predicted_{name}": value for name, value in figures.items()}


def of_other_devices(cost: Objective) -> str:
    """Why no front is said to dominate another."""
    return f"{heading(cost.name)} is of different devices, or of different fits of one"


def studies_of(comparison: Comparison) -> list[str]:
    """The names of the runs' studies, which stay where folders are moved."""
    return sorted(read_place(one.run.folder, None).name for one in comparison.runs)


def default_folder(folders: Sequence[Path], cost: str | None) -> Path:
    """``runs/comparison-A-B``, after the runs and the cost that was asked for."""
    names = dict.fromkeys(folder.resolve().name for folder in folders)
    name = "-".join(["comparison", *names, *([cost] if cost else [])])
    if len(name) > LONGEST_NAME:
        name = f"{name[:LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return Path("runs") / name


def check_same_comparison(comparison: Comparison, folder: Path) -> None:
    """Raises InputError where ``folder`` holds a comparison of other runs, or in another cost."""
    if not any((folder / name).exists() for name in (COMPARISON_CSV, COMPARISON_PNG, COMPARISON_JSON)):
        return
    try:
        found = json.loads((folder / COMPARISON_JSON).read_text())
        before, of = (found["studies"], found["cost"]), ", ".join(one["run"] for one in found["runs"])
    except (OSError, ValueError, KeyError, TypeError):
        before, of = None, "runs that it does not name"
    if before != (studies_of(comparison), comparison.axes[1].name):
        raise InputError(
            f"{folder} holds the comparison of {of}{f' in {before[1]}' if before else ''}; choose another folder "
            "with --out, or remove this one"
        )


def write_comparison(comparison: Comparison, folder: Path) -> list[Path]:
    """The fronts as CSV, the comparison as JSON, and both fronts in one plot.

    Raises InputError where the folder holds the comparison of other runs.
    """
    check_same_comparison(comparison, folder)
    accuracy = comparison.axes[0]
    csv, png, js = (folder / name for name in (COMPARISON_CSV, COMPARISON_PNG, COMPARISON_JSON))
    rows = [
        {"run": one.label, "arch_id": c.arch.id, f"{one.run.kind.split()[0]}_{accuracy.name}": c.value(accuracy.name),
         **{f"predicted_{name}": value for name, value in {**c.costs, **range_figures(one.run.ranges(c))}.items()}}
        for one in comparison.runs for c in one.front
    ]  # fmt: skip
    documents.write_text(csv, csv_text(rows))
    documents.write_text(js, json.dumps(comparison_dict(comparison), indent=2) + "\n")
    save_figure(comparison_figure(comparison), png)
    return [csv, png, js]


def comparison_figure(comparison: Comparison) -> Figure:
    """All fronts in one figure."""
    accuracy, cost = comparison.axes
    figure, axes = new_figure()
    for i, one in enumerate(comparison.runs):
        covered = f" (hypervolume {one.coverage.hypervolume:.3f})" if one.coverage is not None else ""
        label = f"{one.label}{covered}"
        draw_steps(axes, one.front, accuracy, cost, COLOURS[i % len(COLOURS)], label)
    axes.set_xlabel(heading(cost.name))
    axes.set_ylabel(f"{accuracy.name.replace('top', 'top-')} (%) {comparison.kind}")
    axes.set_title(
        "Fronts compared; higher and further left is better"
        if comparison.one_axis
        else "Fronts side by side, each on its own device"
    )
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return as_typed_texts(figure)


def tables(comparison: Comparison) -> list[Table]:
    """The fronts' figures, the best accuracy at each budget, and verdicts."""
    return [
        *front_tables(comparison),
        *verdict_tables(comparison.significance, *comparison.axes),
    ]


def front_tables(comparison: Comparison) -> list[Table]:
    """The fronts' figures, and the best accuracy at each budget."""
    from rich import box
    from rich.table import Table

    accuracy, cost = comparison.axes
    named, notes = accuracy.name.replace("top", "top-"), notes_of(comparison)
    summary = Table(
        box=box.SIMPLE_HEAD,
        title=f"Fronts: {named} {comparison.kind}, {heading(cost.name)}",
        title_justify="left",
        caption=caption(comparison),
        caption_justify="left",
        min_width=min(80, len(caption(comparison))),  # a caption is as wide as its table
    )
    reached = Table(
        box=box.SIMPLE_HEAD,
        title=f"Best {named} (%) within budgets: {heading(cost.name)}",
        title_justify="left",
        caption="\n".join(notes) or None,
        caption_justify="left",
        min_width=max(map(len, notes), default=None),
    )
    figures = ("hypervolume", "dominated by the others") if comparison.one_axis else ()
    for heading_text in ("run", "front", *figures):
        summary.add_column(heading_text, justify="left" if heading_text == "run" else "right")
    reached.add_column("run")
    for budget in comparison.runs[0].best_at:
        reached.add_column(f"{scaled(cost.name, budget):.4g}", justify="right")
    for one in comparison.runs:
        dominated = ", ".join(f"{100 * share:.0f} %" for share in one.dominated_by.values())
        covered = [f"{one.coverage.hypervolume:.4f}", dominated] if one.coverage is not None else []
        summary.add_row(one.label, str(len(one.front)), *covered)
        reached.add_row(
            one.label,
            *("-" if c is None else cell(one.run, c, comparison.axes) for c in one.best_at.values()),
        )
    return [summary, reached]


def notes_of(comparison: Comparison) -> list[str]:
    """What is to be said of the best accuracies: that they were chosen, and what stands below them."""
    name = comparison.axes[1].name
    ranged = any(name in one.run.ranges(one.front[0]) for one in comparison.runs)
    corrected = [UNCORRECTED] if comparison.runs[0].run.measures else []
    power = words.told_power([name], [one.run.power_meter for one in comparison.runs])
    return [*corrected, *power, *([words.of_ranges([name])] if ranged else [])]


def cell(run: Run, candidate: Candidate, axes: tuple[Objective, Objective]) -> str:
    """The accuracy, and below it the range of the cost where that is an estimate with one."""
    accuracy, cost = axes
    ranged = run.ranges(candidate).get(cost.name)
    below = f"\n{words.briefly(cost.name, ranged)}" if ranged is not None else ""
    return f"{100 * candidate.value(accuracy.name):.2f}{below}"


def caption(comparison: Comparison) -> str:
    """What the figures mean, or why there are none."""
    accuracy, cost = comparison.axes
    covered = comparison.runs[0].coverage
    if covered is None:
        return "Of different devices or fits: no hypervolume, no dominance"
    return (
        "Hypervolume: share of the box up to the reference point "
        f"{100 * accuracy.signed(covered.reference[0]):.2f} %, {amount(cost.name, covered.reference[1])}"
    )


def to_json(comparison: Comparison) -> dict[str, Any]:
    return {**comparison_dict(comparison), "fronts": {
        one.label: [as_candidate(c, {}, ranges=one.run.ranges(c)) for c in one.front]
        for one in comparison.runs
    }}  # fmt: skip
