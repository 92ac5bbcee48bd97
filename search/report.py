"""What a run leaves behind: front.csv, front.png, result.json and a table."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search import readable
from search.front import knee
from search.plots import draw_front
from search.run import Result
from search.study import Candidate
from search.units import amount, counted, heading, percent, scaled
from supernet import documents
from supernet.accuracy import Accuracy

if TYPE_CHECKING:
    from rich.table import Table

FRONT_CSV, FRONT_PNG, RESULT_JSON = "front.csv", "front.png", "result.json"


def as_dict(candidate: Candidate, reports: Mapping[str, Accuracy]) -> dict[str, Any]:
    """A candidate for JSON: costs are predicted, accuracies measured; no report means not measured."""
    report = reports.get(candidate.arch.id)
    return {
        "arch_id": candidate.arch.id,
        "arch": candidate.arch.to_dict(),
        "trial": candidate.number,
        "predicted": candidate.costs,
        "measured": {
            "validation": asdict(candidate.validation),
            **({"report": asdict(report)} if report is not None else {}),
        },
    }


def result_dict(result: Result) -> dict[str, Any]:
    run = result.run
    return {
        "run": str(run.folder),
        "supernet": run.supernet.name,
        "fingerprint": run.supernet.fingerprint,
        "device": run.where if run.device is not None else None,
        "objectives": list(run.config.objectives),
        "budgets": run.config.budgets,
        "sampler": run.config.sampler,
        "seed": run.config.seed,
        "measured_candidates": len(result.candidates),
        "proposals": result.proposals,
        "chosen": as_dict(result.chosen, result.reports),
        "knee": knee(result.front, run.axes).arch.id,
        "front": [as_dict(candidate, result.reports) for candidate in result.front],
    }


def front_rows(result: Result) -> list[dict[str, Any]]:
    """One flat row a front member, for CSV."""
    rows = []
    for candidate in result.front:
        report = result.reports.get(candidate.arch.id)
        row: dict[str, Any] = {"arch_id": candidate.arch.id, "chosen": candidate == result.chosen}
        row.update({f"predicted_{name}": value for name, value in candidate.costs.items()})
        row["validation_top1"] = candidate.validation.top1
        row["validation_top5"] = candidate.validation.top5
        for name in ("top1", "top1_low", "top1_high", "top5", "top5_low", "top5_high"):
            row[f"report_{name}"] = getattr(report, name) if report is not None else None
        row.update(candidate.arch.values)
        rows.append(row)
    return rows


def write(result: Result) -> list[Path]:
    """Write the three files into the run folder; returns their paths."""
    import pandas as pd

    folder = result.run.folder
    csv, png, js = (folder / name for name in (FRONT_CSV, FRONT_PNG, RESULT_JSON))
    documents.write_text(csv, pd.DataFrame(front_rows(result)).to_csv(index=False))
    documents.write_text(js, json.dumps(result_dict(result), indent=2) + "\n")
    draw_front(result, png)
    return [csv, png, js]


def table(result: Result) -> Table:
    """The front, or for one objective the chosen subnet, for the terminal."""
    return front_table(result) if len(result.run.config.objectives) > 1 else chosen_table(result)


def chosen_table(result: Result) -> Table:
    """One subnet, a figure a line."""
    run, chosen = result.run, result.chosen
    accuracies = {"validation": chosen.validation}
    if chosen.arch.id in result.reports:
        accuracies = {"report split": result.reports[chosen.arch.id], **accuracies}
    found = readable.of_subnet(accuracies, chosen.costs, run.where)
    return readable.table([[("arch", chosen.arch.id)], *found])


def front_table(result: Result) -> Table:
    """One line a subnet; 80 columns hold all of it, or three costs without what front.csv has besides."""
    from rich import box
    from rich.table import Table

    run = result.run
    names = list(dict.fromkeys([*run.config.budgets, *(o.name for o in run.axes[1:])]))
    columns: dict[str, Callable[[Candidate, Accuracy | None], str]] = {
        "\narch": lambda c, _: c.arch.id + (" *" if c == result.chosen else ""),
        "top-1 (%)\nreport [95 %]": lambda _, report: percent(report, "top1"),
    }
    if len(names) < 3:
        columns["top-5 (%)\nreport"] = lambda _, report: f"{100 * report.top5:.2f}" if report else "-"
        columns["top-1 (%)\nvalidation"] = lambda c, _: f"{100 * c.validation.top1:.2f}"
    for name in names:
        columns[heading(name).replace(" (", "\n(")] = partial(cost_figure, name)
    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for head in columns:
        made.add_column(head, justify="right" if made.columns else "left")
    for candidate in result.front:
        report = result.reports.get(candidate.arch.id)
        made.add_row(*(figure(candidate, report) for figure in columns.values()))
    return made


def cost_figure(name: str, candidate: Candidate, _: Accuracy | None) -> str:
    return f"{scaled(name, candidate.costs[name]):.4g}"


def legend(result: Result) -> str:
    """What the table's words mean, a sentence a line."""
    run = result.run
    limits = " and ".join(amount(name, limit) for name, limit in run.config.budgets.items())
    mark = "*" if len(run.config.objectives) > 1 else "The"
    costs = f"costs are predicted for {run.where}" if run.device is not None else "costs are computed"
    return (
        f"{mark} best on the validation split{f' within {limits}' if limits else '; no budget was given'}.\n"
        f"Accuracies are measured [95 % interval]; {costs}.\n"
        f"{counted(len(result.candidates), 'candidate')} measured, {result.proposals:,} proposed."
    )
