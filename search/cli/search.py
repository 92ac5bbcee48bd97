"""``oncefit search``: find the best subnet, or a front, within hard budgets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from search.cli.options import Json, Region, out_folder, storage_url
from supernet.errors import InputError

VERIFY = "verify_on_device"
OVER_BUDGET = 2
"""Exit code where no candidate that was timed holds its budget, as where no subnet can keep it."""


def search(
    config: Annotated[
        Path, typer.Argument(help="YAML file, as configs/searches/macs.yaml.", metavar="CONFIG")
    ],
    device: Annotated[
        list[str] | None,
        typer.Option(help="Device name or YAML file; may be repeated.", metavar="NAME"),
    ] = None,
    region: Region = None,
    budget: Annotated[
        list[str] | None, typer.Option(help="Upper bound of a cost; may be repeated.", metavar="COST=NUMBER")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Folder of images to measure on.", metavar="DIR")] = None,
    predictor: Annotated[
        str | None, typer.Option(help="Predictor's name or file; none to begin without.", metavar="NAME")
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="Subnets to measure, or to keep of those predicted.", metavar="N")
    ] = None,
    measure: Annotated[
        int | None, typer.Option(help="Of those predicted, so many best are measured.", metavar="N")
    ] = None,
    sampler: Annotated[str | None, typer.Option(help="guided, nsga2, tpe or random.", metavar="NAME")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every random choice.", metavar="N")] = None,
    race: Annotated[
        bool | None,
        typer.Option("--race/--no-race", help="Stop measuring a subnet that another dominates."),
    ] = None,
    enqueue: Annotated[
        list[str] | None,
        typer.Option(help="Subnet to evaluate first, a file; may be repeated.", metavar="FILE"),
    ] = None,
    verify_on_device: Annotated[
        int | None, typer.Option(help="Time so many of the best here; the winner holds.", metavar="K")
    ] = None,
    verify_again: Annotated[
        bool, typer.Option("--verify-again", help="Time them anew, and forget what was measured.")
    ] = False,
    workers: Annotated[int, typer.Option(help="Processes that share trials and threads.", metavar="N")] = 1,
    executor: Annotated[
        str | None, typer.Option(help="Dask cluster that measures: dask://HOST:PORT.", metavar="URL")
    ] = None,
    storage: Annotated[str | None, storage_url("SQLite in the run folder")] = None,
    study: Annotated[
        str | None, typer.Option(help="The study's name, for workers elsewhere.", metavar="NAME")
    ] = None,
    track_carbon: Annotated[
        bool, typer.Option("--track-carbon", help="Keep what the search emits (needs codecarbon).")
    ] = False,
    out: Annotated[Path | None, out_folder("runs/NAME")] = None,
    as_json: Json = False,
) -> None:
    """Find the best subnet, or a front, within hard budgets.

    Options override what CONFIG says. The same command resumes a killed search, and joins one that is running.
    """
    import oncefit
    from search.cli import terminal
    from search.reports import fleet as reporting
    from search.reports import report
    from search.runs.config import load_config, parse_budgets
    from search.runs.fleet_devices import DEVICES
    from search.runs.naming import run_name

    given: dict[str, object] = {
        **devices_of(device), "region": region, "data": data, "predictor": predictor, "sampler": sampler, "seed": seed,
        "race": race, VERIFY: verify_on_device,
    }  # fmt: skip
    limits = parse_budgets(budget or [])
    folder = out or Path("runs") / run_name(config, given, budget or [])
    several = bool(load_config(config, given, limits).devices)
    settings: dict[str, Any] = {
        **given, "config": config, "budgets": limits, "trials": trials, "measure": measure, "storage": storage,
        "enqueue": enqueue, "out": folder, "track_carbon": track_carbon, "progress": True,
    }  # fmt: skip
    alone: dict[str, Any] = {
        "workers": workers,
        "executor": executor,
        "study": study,
        "verify_again": verify_again,
    }
    with terminal.resumable():
        if several:
            refuse_for_several(alone)
            fleet = oncefit.search_fleet(**without(settings, "device", "region", VERIFY))
            files, figures = fleet.write(), fleet.to_dict()
            table, note = reporting.fleet_table(fleet.result), reporting.fleet_legend(fleet.result)
            alarm, over = "", False
        else:
            run = oncefit.search(**without(settings, DEVICES), **alone)
            files, figures = run.write(), run.to_dict()
            table, note = report.result_table(run.result), report.legend(run.result)
            alarm, over = report.alarm(run.result), run.verified is False
    if as_json:
        terminal.print_json(figures)
    else:
        terminal.show_titled(str(folder), table, note)
    terminal.say_files(files)
    if alarm:
        terminal.say_loudly(alarm)
    if over:
        raise typer.Exit(OVER_BUDGET)


def refuse_for_several(given: dict[str, Any]) -> None:
    """Raises InputError for what only a search for one device takes."""
    for name, value in given.items():
        if value not in (None, False, 1):
            raise InputError(
                f"--{name.replace('_', '-')} is of a search for one device, and there are several; leave it out"
            )


def devices_of(names: list[str] | None) -> dict[str, object]:
    """``device`` where one is given, ``devices`` where several are."""
    if names and len(names) > 1:
        return {"devices": names}
    return {"device": names[0] if names else None}


def without(settings: dict[str, Any], *names: str) -> dict[str, Any]:
    """The settings but those, which are not given."""
    return {name: value for name, value in settings.items() if name not in names}
