"""``oncefit compare``: the fronts of runs side by side, and whether they differ by more than luck."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.options import out_folder
from supernet.errors import InputError

if TYPE_CHECKING:
    from oncefit import Comparison
    from search.reports.comparing.worse import Judged


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders; the first is the base.", metavar="RUN")],
    cost: Annotated[
        str | None, typer.Option(help="Cost to compare in.", metavar="COST", show_default="that of the runs")
    ] = None,
    at: Annotated[
        list[float] | None,
        typer.Option(help="Budget of that cost; may be repeated.", metavar="NUMBER", show_default="four"),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            help="Reference: 5%, or macs=3e6,top1=0.8.",
            metavar="POINT",
            show_default="1%",
        ),
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure on the report split what is not kept yet.")
    ] = False,
    fail_if_worse: Annotated[
        bool, typer.Option("--fail-if-worse", help="Exit with 3 where a run is worse than the first.")
    ] = False,
    metric: Annotated[
        str | None,
        typer.Option(help="By what: top1, hypervolume or a cost.", metavar="NAME", show_default="top1"),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(help="How much worse may pass: points, ms.", metavar="NUMBER", show_default="0"),
    ] = None,
    storage: Annotated[
        str | None, typer.Option(help="Optuna storage.", metavar="URL", show_default="where the runs have it")
    ] = None,
    out: Annotated[Path | None, out_folder("runs/comparison-RUN-RUN")] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Markdown to write, for a pull request.", metavar="FILE")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, or write it to a FILE.json after this.")
    ] = False,
) -> None:
    """Compare the fronts of runs, and every run with the first.

    Hypervolume, who dominates whom, the best accuracy at given budgets, and whether the differences are
    more than luck on the report images, without evaluating any of them again. Exit code 3 says that a run is worse.
    """
    import oncefit
    from search.cli import terminal
    from search.reports.comparing.compare import default_folder, tables
    from search.reports.comparing.worse import WORSE

    if not fail_if_worse and (metric is not None or margin is not None):
        raise InputError(
            "--metric and --margin say what --fail-if-worse asks; give that too, or leave them out"
        )
    folders, file = json_file(runs, as_json)
    comparison = oncefit.compare(
        folders, cost=cost, at=at or [], storage=storage, reference=reference, measure=measure
    )
    judgements = comparison.judge(metric, margin or 0.0) if fail_if_worse else []
    files = comparison.write(out or default_folder(folders, cost))
    told = comparison.to_dict() | judged_dict(judgements)
    if file is not None:
        files += [write_text_file(file, json.dumps(told, indent=2) + "\n")]
    if markdown is not None:
        files += [write_text_file(markdown, comparison.to_markdown(judgements))]
    if as_json and file is None:
        terminal.print_json(told)
    else:
        for table in tables(comparison.found):
            terminal.show(table)
        tell(comparison)
    terminal.say_files(files)
    for one in judgements:
        terminal.say_loudly(f"{'FAILED' if one.worse else 'passed'}: {one.new}: {one.told}")
    if any(one.worse for one in judgements):
        raise typer.Exit(WORSE)


def json_file(runs: Sequence[Path], as_json: bool) -> tuple[list[Path], Path | None]:
    """The runs, and the file behind ``--json``, which is the last argument where that ends with .json and is no folder."""
    *others, last = runs
    if as_json and last.suffix == ".json" and not last.is_dir():
        return list(others), last
    return list(runs), None


def write_text_file(file: Path, text: str) -> Path:
    """Whole or not at all."""
    from supernet import documents

    documents.write_text(file, text)
    return file


def judged_dict(judgements: Sequence[Judged]) -> dict[str, object]:
    """For programs; nothing where it was not asked whether a run is worse."""
    from dataclasses import asdict

    return {"fail_if_worse": [asdict(one) for one in judgements]} if judgements else {}


def tell(comparison: Comparison) -> None:
    """What is to be known beside the tables."""
    from search.cli import terminal
    from search.reports.comparing.verdict_words import depends, order_told, significance_advice

    found = comparison.found
    if found.orders:
        told = order_told(found.orders, [one.label for one in found.runs])
        lines = textwrap.fill(told, 80, break_long_words=False, break_on_hyphens=False)
        (terminal.say_loudly if depends(found.orders) else terminal.say)(lines)
    for line in significance_advice(found.significance, [str(one.run.folder) for one in found.runs]):
        terminal.say(line)
