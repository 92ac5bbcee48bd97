"""``oncefit devices``: devices made of published latency tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from supernet.errors import InputError

if TYPE_CHECKING:
    from cost_models.device import Device, LatencyTable
    from search.reports.words import Lines
    from supernet.catalog import Supernet

app = typer.Typer(
    help="Make devices of published latency tables.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def group() -> None:
    """Make devices of published latency tables."""


@app.command("import")
def import_tables(
    format_name: Annotated[str, typer.Argument(help="note10 or pixel1.", metavar="FORMAT")],
    tables: Annotated[Path, typer.Argument(help="Folder of the tables, or one of them.", metavar="DIR")],
    supernet: Annotated[
        str, typer.Option(help="Supernet that was measured.", metavar="NAME")
    ] = "ofa_mbv3_w1.2",
    name: Annotated[
        str | None, typer.Option(help="What to call the device.", metavar="NAME", show_default="FORMAT")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="YAML file to write.", metavar="FILE", show_default="found by NAME later"),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Write over the file of an earlier import.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, and nothing else, on stdout.")
    ] = False,
) -> None:
    """Make a device of the latency tables of a format.

    They must cover the supernet at their resolutions; what they lack is told.
    """
    from cost_models.device_files import kept_devices, write_device
    from cost_models.devices import import_device
    from search.cli import terminal
    from search.reports import words as readable
    from supernet.catalog import open_supernet

    net = open_supernet(supernet)
    device = import_device(format_name, tables, net, name if name is not None else format_name)
    file = out if out is not None else kept_devices() / f"{device.name}.yaml"
    check_place(file, replace)
    write_device(device, file)
    assert device.table is not None
    if as_json:
        terminal.print_json(summary(device, device.table, net, file))
        return
    terminal.show_titled(
        f"device {device.name} in {file}",
        readable.table(rows(device, device.table, net)),
        f"For a search: device: {file if out is not None else device.name}. "
        "Energy and CO2e need power: and region: in the file, which no table tells.",
    )


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
            ("entries", f"{entries(table):,}, each a mean and a standard deviation"),
            ("latency (ms) of its subnets, predicted", f"{low:.2f} to {high:.2f}"),
        ]
    ]


def entries(table: LatencyTable) -> int:
    return sum(len(part.entries) for part in table.tables.values())


def reach(device: Device, table: LatencyTable, supernet: Supernet) -> tuple[float, float]:
    """The least and the greatest latency at the table's resolutions."""
    from cost_models.latency import latency_ms
    from cost_models.protocol import Target

    there = supernet.restricted({"resolution": table.resolutions})
    found = latency_ms(Target(there, device)).reach()
    return found.minimum, found.maximum
