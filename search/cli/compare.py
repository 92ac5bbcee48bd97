"""``oncefit compare``: the fronts of runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.cli.options import Json, out_folder


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Two or more run folders.", metavar="RUN")],
    cost: Annotated[
        str | None, typer.Option(help="Cost to compare in.", metavar="COST", show_default="that of the runs")
    ] = None,
    at: Annotated[
        list[float] | None,
        typer.Option(help="Budget of that cost; may be repeated.", metavar="NUMBER", show_default="four"),
    ] = None,
    storage: Annotated[
        str | None, typer.Option(help="Optuna storage.", metavar="URL", show_default="where the runs have it")
    ] = None,
    out: Annotated[Path | None, out_folder("runs/comparison-RUN-RUN")] = None,
    as_json: Json = False,
) -> None:
    """Compare the fronts of runs, in a table and a plot.

    Hypervolume, who dominates whom, and the best accuracy at given budgets.
    """
    import oncefit
    from search.cli import terminal
    from search.reports.compare import default_folder, tables

    comparison = oncefit.compare(runs, cost=cost, at=at or [], storage=storage)
    files = comparison.write(out or default_folder(runs, cost))
    if as_json:
        terminal.print_json(comparison.to_dict())
    else:
        for table in tables(comparison.found):
            terminal.show(table)
    terminal.say_files(files)
