"""``oncefit devices``: devices made of latency tables and of measured subnets in a CSV file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.cli.options import DeviceFile, Json, ReplaceFile
from supernet.errors import InputError, unknown

if TYPE_CHECKING:
    from cost_models.device import Device, LatencyTable
    from search.reports.words import Lines
    from supernet.catalog import Supernet

CSV = "csv"
"""What stands in the place of a format of tables for measured subnets."""

app = typer.Typer(
    help="Make devices of latency tables, or of measured subnets.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def group() -> None:
    """Make devices of latency tables, or of measured subnets."""


@app.command("import")
def import_tables(
    format_name: Annotated[
        str, typer.Argument(help="ofa, note10, pixel1, nsganetv2 or csv.", metavar="FORMAT")
    ],
    tables: Annotated[Path, typer.Argument(help="Folder of the tables, or one of them.", metavar="DIR")],
    supernet: Annotated[
        str, typer.Option(help="Supernet that was measured.", metavar="NAME")
    ] = "ofa_mbv3_w1.2",
    name: Annotated[
        str | None,
        typer.Option(help="What to call the device.", metavar="NAME", show_default="FORMAT"),
    ] = None,
    unit: Annotated[str, typer.Option(help="Unit of the means: ms, us or s.", metavar="UNIT")] = "ms",
    column: Annotated[
        str | None, typer.Option(help="Column of a CSV file.", metavar="NAME", show_default="the only one")
    ] = None,
    out: DeviceFile = None,
    replace: ReplaceFile = False,
    as_json: Json = False,
) -> None:
    """Make a device of latency tables, or of a CSV file of subnets.

    Tables must cover the supernet at their resolutions. What they lack is told, and what cannot be meant is refused.
    """
    from cost_models.device_files import kept_devices, write_device
    from cost_models.devices import device_of_csv, import_device
    from search.cli import terminal
    from search.reports import words as readable
    from supernet.catalog import open_supernet

    net = open_supernet(supernet)
    called = device_called(name, format_name)
    file = out if out is not None else kept_devices() / f"{called}.yaml"
    check_place(file, replace)
    warnings: list[str] = []
    if format_name == CSV:
        device = device_of_csv(tables, net, called, column, unit)
    elif column is not None:
        raise InputError(
            f"--column {column} is of a CSV file: oncefit devices import {CSV} FILE --column {column}"
        )
    else:
        device = import_device(format_name, tables, net, called, unit, warnings.append)
    write_device(device, file)
    for warning in warnings:
        terminal.say(warning)
    if as_json:
        found = summary(device, device.table, net, file) if device.table else of_fit(device, file)
        terminal.print_json({**found, "warnings": warnings})
        return
    terminal.show_titled(
        f"device {called} in {file}",
        readable.table(rows(device, device.table, net) if device.table else readable.of_device(device)),
        f"For a search: device: {file if out is not None else called}. "
        "Energy and CO2e need power: and region: in the file, which no table tells.",
    )


def device_called(name: str | None, format_name: str) -> str:
    """What the device is called. Raises InputError where a format without a device's name is given none."""
    from cost_models.published_tables import AFTER_DEVICES, FORMATS

    if format_name not in FORMATS and format_name != CSV:
        raise unknown("format of latency tables", format_name, [*FORMATS, CSV])
    if name is not None:
        return name
    if format_name not in AFTER_DEVICES:
        raise InputError(
            f"--name NAME says what to call the device: {format_name} is a layout, and no device"
        )
    return format_name


def of_fit(device: Device, file: Path) -> dict[str, Any]:
    """What ``--json`` prints of a fit to measured subnets."""
    model = device.fitted
    assert model is not None
    return {
        "device": device.name, "file": str(file), "format": CSV, "supernet": model.supernet,
        "fingerprint": model.fingerprint, "subnets": model.subnets, "error_percent": model.error_percent,
        "worst_error_percent": model.worst_error_percent,
    }  # fmt: skip


def check_place(file: Path, replace: bool) -> None:
    """Raises InputError for a file that could not be found as a device's, or is there already."""
    if file.suffix not in (".yaml", ".yml"):
        raise InputError(f"a device is a .yaml file, which --out must name; got {file}")
    if file.exists() and not replace:
        raise InputError(f"{file} is there already, perhaps with your edits: --replace writes over it")


def summary(device: Device, table: LatencyTable, supernet: Supernet, file: Path) -> dict[str, Any]:
    """What ``--json`` prints."""
    return {
        "device": device.name,
        "file": str(file),
        "format": table.format,
        "supernet": table.supernet,
        "fingerprint": table.fingerprint,
        "resolutions": list(table.resolutions),
        "entries": entries(table),
        "latency_ms": dict(zip(("minimum", "maximum"), reach(device, table, supernet), strict=True)),
    }


def rows(device: Device, table: LatencyTable, supernet: Supernet) -> list[Lines]:
    """The same for people."""
    low, high = reach(device, table, supernet)
    return [
        [
            ("supernet", supernet.name),
            ("resolutions", ", ".join(map(str, table.resolutions))),
            ("entries", f"{entries(table):,}, {figures(table)}"),
            ("latency (ms) of its subnets, predicted", f"{low:.2f} to {high:.2f}"),
        ]
    ]


def figures(table: LatencyTable) -> str:
    return (
        "each a mean and a standard deviation" if table.has_deviations else "means, not all with a deviation"
    )


def entries(table: LatencyTable) -> int:
    return sum(len(part.entries) for part in table.tables.values())


def reach(device: Device, table: LatencyTable, supernet: Supernet) -> tuple[float, float]:
    """The least and the greatest latency at the table's resolutions."""
    from cost_models.latency import latency_ms
    from cost_models.protocol import Target

    there = supernet.restricted({"resolution": table.resolutions})
    found = latency_ms(Target(there, device)).reach()
    return found.minimum, found.maximum
