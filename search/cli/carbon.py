"""``oncefit carbon``: the carbon ledger of a run and its deployment, and when to start what may wait."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.cli.options import Json, Region, out_folder
from supernet.errors import InputError


def carbon(
    run: Annotated[Path | None, typer.Argument(help="Run folder.", metavar="RUN", show_default=False)] = None,
    deployment: Annotated[
        Path | None, typer.Option(help="YAML file of the deployment.", metavar="FILE")
    ] = None,
    requests_per_day: Annotated[
        float | None, typer.Option(help="Inferences a day, of each device.", metavar="N")
    ] = None,
    life_days: Annotated[float | None, typer.Option(help="Days that a device lives.", metavar="N")] = None,
    devices: Annotated[int | None, typer.Option(help="Devices that run it.", metavar="N")] = None,
    region: Region = None,
    baseline: Annotated[
        str | None,
        typer.Option(help="Held against: arch id, bundle, or largest.", metavar="WHICH"),
    ] = None,
    pick: Annotated[
        str | None, typer.Option(help="best, knee, or an arch id.", metavar="WHICH", show_default="best")
    ] = None,
    intensity: Annotated[
        Path | None, typer.Option(help="CSV of hour,grams_per_kwh: say when to start a job.", metavar="FILE")
    ] = None,
    hours: Annotated[
        float | None, typer.Option(help="Hours that the job takes, with --intensity.", metavar="H")
    ] = None,
    out: Annotated[Path | None, out_folder("RUN")] = None,
    as_json: Json = False,
) -> None:
    """Show what a run and its deployment emit.

    And after how many requests specialising has paid for itself. With --intensity and --hours: when to start a job so that it emits least. Options override the YAML file.
    """
    if intensity is not None or hours is not None:
        others = [run, deployment, requests_per_day, life_days, devices, region, baseline, pick, out]
        show_schedule(intensity, hours, any(value is not None for value in others), as_json)
        return
    import oncefit
    from search.cli import terminal
    from search.reports.carbon_tables import carbon_table, sentences

    made = oncefit.carbon(
        run, deployment, requests_per_day=requests_per_day, life_days=life_days, devices=devices, region=region,
        baseline=baseline, **({"pick": pick} if pick is not None else {}),
    )  # fmt: skip
    files = made.write(out or run or Path("runs") / f"carbon-{deployment.stem if deployment else 'ledger'}")
    if as_json:
        terminal.print_json(made.to_dict())
    else:
        terminal.show(carbon_table(made.found))
        terminal.show(sentences(made.found))
    terminal.say_files(files)


def show_schedule(intensity: Path | None, hours: float | None, with_others: bool, as_json: bool) -> None:
    """When to start a job. Raises InputError where one of the two is missing, or beside options of a ledger."""
    from cost_models.grid_hours import read_hourly, schedule
    from search.cli import terminal
    from search.reports.carbon_tables import schedule_words

    if intensity is None or hours is None:
        raise InputError(
            "when to start a job takes both --intensity FILE and --hours H; a ledger takes neither"
        )
    if with_others:
        raise InputError("--intensity and --hours are for when to start a job, without RUN and other options")
    found = schedule(read_hourly(intensity), hours)
    if not as_json:
        terminal.show(schedule_words(found, hours))
        return
    windows = {"best": found.best, "first": found.first, "worst": found.worst}
    terminal.print_json(
        {
            "hours": hours,
            **{
                name: {"start": window.start, "grams_per_kwh": window.grams_per_kwh}
                for name, window in windows.items()
            },
            "mean_grams_per_kwh": found.mean_grams_per_kwh,
            "saved_share": {
                "first": found.saved_share(found.first.grams_per_kwh),
                "mean": found.saved_share(found.mean_grams_per_kwh),
                "worst": found.saved_share(found.worst.grams_per_kwh),
            },
        }
    )
