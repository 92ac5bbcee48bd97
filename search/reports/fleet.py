"""What a search for several devices leaves behind: one table, one picture and one JSON beside the runs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cost_models.registry import OF_A_DEVICE
from search.fleets.fleet import FleetResult, of_run
from search.reports import report
from search.reports.csv_text import csv_text
from search.reports.figures.plots import COLOURS, as_typed_texts, draw_steps, save_figure
from search.reports.units import amount, counted, heading, percent, scaled
from search.reports.words import how_known, told_power
from search.runs.results import Result
from search.runs.study import Candidate
from supernet import documents

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.table import Table

FLEET_CSV, FLEET_PNG, FLEET_JSON = "fleet.csv", "fleet.png", "fleet.json"
PANELS_BESIDE = 3
"""Panels beside each other in the picture."""
PANEL = (3.6, 3.0)
"""Inches of one panel."""


def fleet_rows(found: FleetResult) -> list[dict[str, Any]]:
    """One flat row a device: its budgets, the chosen arch with its figures, and how it fares with one arch for all."""
    rows = []
    for label, result in found.results.items():
        [row] = report.candidate_rows(result, [result.chosen])
        row.pop("chosen")
        limits = {f"budget_{name}": limit for name, limit in result.run.config.budgets.items()}
        kept = {name: value for name, value in row.items() if name not in result.chosen.arch.values}
        rows.append({"device": label, **limits, **kept, **of_common(found, result)})
    return rows


def of_common(found: FleetResult, result: Result) -> dict[str, Any]:
    """What one subnet for all devices gives up for this one, in points of the split that decides; empty where none is."""
    if found.common is None:
        return {}
    name = result.run.axes[0].name
    given_up = 100 * (result.chosen.value(name) - found.common.value(name))
    return {"one_for_all": found.common.arch.id, "one_for_all_gives_up_points": round(given_up, 4)}


def fleet_dict(found: FleetResult) -> dict[str, Any]:
    """All figures, as ``fleet.json`` has them; ``results`` are those of each run's ``result.json``."""
    return {
        "fleet": str(found.fleet.folder),
        "evaluations": found.evaluations,
        "devices": fleet_rows(found),
        "one_for_all": found.common.arch.to_dict() if found.common is not None else None,
        "results": {label: report.result_dict(result) for label, result in found.results.items()},
    }


def write_fleet_files(found: FleetResult) -> list[Path]:
    """Write the three files into the fleet's folder, and each run's own into its folder; returns the former's paths."""
    for result in found.results.values():
        report.write_report(result)
    table, png, js = (found.fleet.folder / name for name in (FLEET_CSV, FLEET_PNG, FLEET_JSON))
    documents.write_text(table, csv_text(fleet_rows(found)))
    documents.write_text(js, json.dumps(fleet_dict(found), indent=2) + "\n")
    save_figure(fleet_figure(found), png)
    return [table, png, js]


def fleet_table(found: FleetResult) -> Table:
    """One line a device."""
    from rich import box
    from rich.table import Table

    first = next(iter(found.results.values()))
    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    made.add_column("\ndevice")
    made.add_column("\narch")
    name = report.name_of(first.run)
    measured = first.run.measures
    kind = {"validation split": "validation", "predicted": "predicted", "own evaluation": "own"}[
        first.run.kind
    ]
    for head in ([f"{name} (%)\nreport [95 %]"] if measured else []) + [f"{name} (%)\n{kind}"]:
        made.add_column(head, justify="right")
    made.add_column("cost\npredicted", justify="right")
    made.add_column("\nbudget", justify="right")
    made.add_column("\nfront", justify="right")
    for label, result in found.results.items():
        made.add_row(label, *line_of_device(result))
    return made


def line_of_device(result: Result) -> list[str]:
    """The figures of a device's chosen subnet, in the order of the table's columns."""
    run, chosen = result.run, result.chosen
    accuracy = run.axes[0].name
    budgets = run.config.budgets or {run.axes[1].name: math.inf}
    names = list(budgets)
    reported = [percent(result.reports.get(chosen.arch.id), accuracy)] if run.measures else []
    return [
        chosen.arch.id,
        *reported,
        f"{100 * chosen.value(accuracy):.2f}",
        "\n".join(amount(name, chosen.costs[name]) for name in names),
        "\n".join(amount(name, budgets[name]) if math.isfinite(budgets[name]) else "-" for name in names),
        str(len(result.front)),
    ]


def fleet_legend(found: FleetResult) -> str:
    """What the table's words mean, a sentence a line."""
    first = next(iter(found.results.values()))
    how = {"validation split": "measured", "predicted": "predicted", "own evaluation": "evaluated"}[
        first.run.kind
    ]
    devices = counted(len(found.results), "device")
    lines = [
        f"For each device the best {report.SPLIT_IN_WORDS[first.run.kind]} within its budget.",
        f"{counted(found.evaluations, 'subnet')} {how}, {'each once for all' if first.run.predictor is None else 'for'} {devices}.",
    ]
    runs = [result.run for result in found.results.values()]
    shown = dict.fromkeys(name for run in runs for name in run.config.budgets or [run.axes[1].name])
    lines += told_power(shown, [run.power_meter for run in runs])
    if found.common is None:
        lines.append("No candidate keeps the budgets of all devices.")
    else:
        given_up = [of_common(found, r)["one_for_all_gives_up_points"] for r in found.results.values()]
        lines.append(
            f"One subnet for all, {found.common.arch.id}, would give up {min(given_up):.2f} to {max(given_up):.2f} points."
        )
    return "\n".join(lines)


def fleet_figure(found: FleetResult) -> Figure:
    """A panel a device: its candidates, front, chosen subnet and budget over its own cost, accuracies on one scale."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(found.results)
    columns = min(PANELS_BESIDE, count)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(PANEL[0] * columns, PANEL[1] * rows + 0.6), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).flatten()
    for panel, (label, result) in zip(panels, found.results.items(), strict=False):
        draw_device(panel, label, result, found.common)
    for panel in panels[count:]:
        panel.set_axis_off()
    for row in range(rows):
        name = next(iter(found.results.values())).run.axes[0].name
        panels[row * columns].set_ylabel(f"{name.replace('top', 'top-')} (%)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return as_typed_texts(figure)


def draw_device(panel: Axes, label: str, result: Result, common: Candidate | None) -> None:
    accuracy, cost = result.run.axes[:2]
    kind = result.run.kind

    def place(candidate: Candidate) -> tuple[float, float]:
        return scaled(cost.name, candidate.value(cost.name)), 100 * candidate.value(accuracy.name)

    x, y = zip(*map(place, result.candidates), strict=True)
    panel.scatter(x, y, s=8, color="#b0b0b0", label=f"candidates, {kind}")
    draw_steps(panel, result.front, accuracy, cost, COLOURS[0], f"front, {kind}", until=max(x))
    limit = result.run.config.budgets.get(cost.name)
    if limit is not None:
        panel.axvline(
            scaled(cost.name, limit), color="#b00020", linestyle="--", linewidth=1.2, label="budget"
        )
    if common is not None:
        panel.scatter(
            *place(of_run(common, result.run)), marker="D", s=28, facecolor="white", edgecolor=COLOURS[4],
            zorder=5, label=f"one for all: {common.arch.id}",
        )  # fmt: skip
    panel.scatter(
        *place(result.chosen), marker="*", s=150, color=COLOURS[1], edgecolor="black", zorder=6, label="chosen for the device"
    )  # fmt: skip
    how = how_known(cost.name, result.run.power_meter)
    where = f" on {label}, {how}" if cost.name in OF_A_DEVICE else f", {label}"
    panel.set_xlabel(f"{heading(cost.name)}{where}", fontsize=8)
    panel.set_title(f"{result.chosen.arch.id}: {100 * result.chosen.value(accuracy.name):.2f} %", fontsize=9)
    panel.tick_params(labelsize=8)
    panel.grid(alpha=0.3)
