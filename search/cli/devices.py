"""``oncefit devices``: devices made of latency tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.cli.device import tell_kept
from search.cli.options import DeviceFile, Json, ReplaceFile

app = typer.Typer(
    help="Make devices of latency tables.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def group() -> None:
    """Make devices of latency tables."""


@app.command("import")
def import_tables(
    format_name: Annotated[str, typer.Argument(help="ofa, note10, pixel1 or nsganetv2.", metavar="FORMAT")],
    tables: Annotated[Path, typer.Argument(help="Folder of the tables, or one of them.", metavar="DIR")],
    supernet: Annotated[
        str, typer.Option(help="Supernet that was measured.", metavar="NAME")
    ] = "ofa_mbv3_w1.2",
    name: Annotated[
        str | None,
        typer.Option(help="What to call the device.", metavar="NAME", show_default="FORMAT"),
    ] = None,
    unit: Annotated[str, typer.Option(help="Unit of the means: ms, us or s.", metavar="UNIT")] = "ms",
    out: DeviceFile = None,
    replace: ReplaceFile = False,
    as_json: Json = False,
) -> None:
    """Make a device of latency tables.

    They must cover the supernet at their resolutions. What they lack is told, and what cannot be meant is refused.
    """
    import oncefit

    found = oncefit.import_device(
        format_name, tables, supernet, name=name, unit=unit, out=out, replace=replace
    )
    tell_kept(found, as_json, "Energy and CO2e need power: and region: in the file, which no table tells.")
