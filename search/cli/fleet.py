"""``oncefit fleet``: a few subnets for many devices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.cli.options import Json, out_folder


def fleet(
    fleet: Annotated[Path, typer.Argument(help="YAML file, or such a search's folder.", metavar="FLEET")],
    subnets: Annotated[int | None, typer.Option(help="Subnets maintained, at most.", metavar="K")] = None,
    slack: Annotated[
        float | None, typer.Option(help="Share of every budget held back, as 0.03.", metavar="SHARE")
    ] = None,
    minimize: Annotated[
        str | None, typer.Option(help="Cost to have the least of, with --floor.", metavar="COST")
    ] = None,
    floor: Annotated[
        float | None, typer.Option(help="Least accuracy, as 0.91, with --minimize.", metavar="SHARE")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="For all proofs.", metavar="S", show_default="20")
    ] = None,
    no_measure: Annotated[bool, typer.Option("--no-measure", help="Measure nothing.")] = False,
    out: Annotated[Path | None, out_folder("runs/portfolio-NAME")] = None,
    as_json: Json = False,
) -> None:
    """Choose a few subnets for many devices.

    Of the candidates of a search, or of a CSV file, the at most K that serve all devices best, how much each further one would gain, and whether a search on one device would do.
    """
    import oncefit
    from search.cli import terminal
    from search.reports.portfolio_tables import portfolio_legend, portfolio_tables

    made = oncefit.fleet(
        fleet,
        subnets=subnets,
        slack=slack,
        minimize=minimize,
        floor=floor,
        seconds=seconds,
        measure=not no_measure,
    )
    name = fleet.resolve().name if fleet.is_dir() else fleet.stem
    files = made.write(out or Path("runs") / f"portfolio-{name}")
    if as_json:
        terminal.print_json(made.to_dict())
    else:
        for table in portfolio_tables(made.found):
            terminal.show(table)
        terminal.show_titled("", portfolio_legend(made.found))
    terminal.say_files(files)
