"""What a run leaves behind: front.csv, front.png, result.json and a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.front import knee
from search.plots import draw_front
from search.run import Result
from search.study import Candidate
from search.units import heading, percent, scaled
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
        "space_fingerprint": run.supernet.space.fingerprint,
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
    from rich import box
    from rich.table import Table

    run = result.run
    shown: Sequence[Candidate] = result.front if len(run.config.objectives) > 1 else [result.chosen]
    names = list(dict.fromkeys([*run.config.budgets, *(o.name for o in run.axes[1:]), "macs", "params"]))
    made = Table(box=box.SIMPLE_HEAD, title=f"{run.folder}", title_justify="left")
    made.add_column("arch")
    made.add_column("top-1 %, report [95 %]", justify="right")
    made.add_column("top-5 %, report [95 %]", justify="right")
    made.add_column("top-1 %, validation", justify="right")
    for name in names:
        made.add_column(
            f"{heading(name)}, predicted" if name.startswith("latency") else heading(name), justify="right"
        )
    for candidate in shown:
        report = result.reports.get(candidate.arch.id)
        mark = " *" if candidate == result.chosen else ""
        made.add_row(
            candidate.arch.id + mark,
            percent(report, "top1"),
            percent(report, "top5"),
            f"{100 * candidate.validation.top1:.2f}",
            *(f"{scaled(name, candidate.costs[name]):.4g}" for name in names),
        )
    return made


def legend(result: Result) -> str:
    """What the table's words mean, in one paragraph."""
    run = result.run
    budget = ", ".join(f"{name} <= {limit:g}" for name, limit in run.config.budgets.items()) or "no budget"
    return (
        f"* chosen: best on the validation split within {budget}. Accuracies are measured; costs are predicted"
        f"{f' for {run.where}' if run.device is not None else ''}. {len(result.candidates)} candidates measured, "
        f"{result.proposals} proposed."
    )
