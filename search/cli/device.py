"""``oncefit device``: a device and how well its latency model fits."""

from __future__ import annotations

from typing import Annotated

import typer

from search.cli.options import Json, Region


def device(
    name: Annotated[str, typer.Argument(help="Device name or YAML file.", metavar="NAME")] = "host",
    supernet: Annotated[
        str, typer.Option(help="Supernet to fit latency to.", metavar="NAME")
    ] = "fmnist_mbv3",
    region: Region = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Measure this machine again.")] = False,
    as_json: Json = False,
) -> None:
    """Show a device and how well its latency model fits.

    The device host is this machine. It is measured if it was not before, and kept if it was quiet.
    """
    import oncefit
    from search.cli import terminal
    from search.reports import words as readable

    found = oncefit.device(name, supernet=supernet, region=region, refresh=refresh)
    if as_json:
        terminal.print_json(found.model_dump(mode="json"))
    else:
        terminal.show_titled(f"device {found.name}", readable.table(readable.of_device(found)))
