"""``oncefit device``: a device and how well its latency model fits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.options import Json, Region

if TYPE_CHECKING:
    from oncefit.devices import KeptDevice


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


def tell_kept(found: KeptDevice, as_json: bool, more: str = "") -> None:
    """A device that was made and is kept now, and what is still to be done for ``more``."""
    from search.cli import terminal
    from search.reports import words as readable

    if as_json:
        terminal.print_json(found.to_dict())
        return
    note = f"For a search: device: {found.name}. {more}".strip()
    terminal.show_titled(
        f"device {found.device.name} in {found.file}", readable.table(found.sections()), note
    )
