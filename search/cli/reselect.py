"""``oncefit reselect``: another budget, or another device, from what a run knows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.cli.options import Json, Region, out_folder


def reselect(
    run: Annotated[Path, typer.Argument(help="Run folder.", metavar="RUN")],
    budget: Annotated[
        list[str] | None, typer.Option(help="Upper bound of a cost; may be repeated.", metavar="COST=NUMBER")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Device name or YAML file.", metavar="NAME", show_default="the run's")
    ] = None,
    region: Region = None,
    measure: Annotated[
        int | None,
        typer.Option(help="So many best to measure on report.", metavar="N", show_default="1"),
    ] = None,
    bundle: Annotated[bool, typer.Option("--bundle", help="Export the chosen one too.")] = False,
    data: Annotated[
        str | None,
        typer.Option(help="Folder of its images.", metavar="DIR", show_default="the run's"),
    ] = None,
    supernet: Annotated[
        str | None,
        typer.Option(help="Supernet's name or YAML file.", metavar="NAME", show_default="the run's"),
    ] = None,
    storage: Annotated[
        str | None, typer.Option(help="Optuna storage.", metavar="URL", show_default="where the run has it")
    ] = None,
    out: Annotated[Path | None, out_folder("beside the run")] = None,
    as_json: Json = False,
) -> None:
    """Pick again from a run, for another budget or device.

    Costs are computed anew from the device's profile; accuracies are those of the run, which stays as it is. The result
    is a run of its own, to export, compare or search on.
    """
    import oncefit
    from search.cli import terminal
    from search.reports import report
    from search.runs.config import parse_budgets

    source = oncefit.open_run(run, storage=storage, supernet=supernet, data=data, measure=False)
    with terminal.resumable():
        found = oncefit.reselect(
            source,
            budgets=parse_budgets(budget or []),
            device=device,
            region=region,
            measure=measure,
            out=out,
        )
    files = found.write()
    if as_json:
        terminal.print_json(found.to_dict())
    else:
        several = (measure or 0) > 1 and len(found.config.objectives) == 1
        table = (
            report.most_accurate_table(found.result, measure or 0)
            if several
            else report.result_table(found.result)
        )
        terminal.show_titled(str(found.folder), table, report.legend(found.result))
    terminal.say_files(files)
    if bundle:
        terminal.say(f"bundle {found.export().folder}")
