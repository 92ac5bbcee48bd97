"""``oncefit profile``: a device made of measured latencies of whole subnets.

What stands after ``profile`` and names no command of the group is a device to be profiled:
``oncefit profile NAME --from-csv FILE`` beside ``oncefit profile kit NAME``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from search.cli.options import Json
from supernet.errors import InputError

DEVICE = "device"
"""The command that is meant where none is named."""


class DeviceUnlessNamed(TyperGroup):
    """A group of commands where a first word that is none of them is the argument of :data:`DEVICE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = [name for name, command in self.commands.items() if not command.hidden]
        return super().parse_args(ctx, args if args and args[0] in named else [DEVICE, *args])

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return "" if name == DEVICE else name, command, rest  # a usage line says what people type


app = typer.Typer(cls=DeviceUnlessNamed, help="Make a device of measured latencies.", rich_markup_mode=None)


@app.callback()
def group() -> None:
    """Make a device of measured latencies."""


@app.command(DEVICE, hidden=True)
def profile(
    name: Annotated[str, typer.Argument(help="What to call the device.", metavar="NAME")],
    from_csv: Annotated[
        Path | None,
        typer.Option(help="CSV of measured subnets: arch columns, a latency a column.", metavar="FILE"),
    ] = None,
    column: Annotated[
        str | None, typer.Option(help="Column with the milliseconds.", metavar="COLUMN")
    ] = None,
    supernet: Annotated[
        str, typer.Option(help="Supernet: name or YAML file.", metavar="NAME")
    ] = "fmnist_mbv3",
    samples: Annotated[
        int, typer.Option(help="Subnets that the latency is fitted to.", metavar="N", min=2)
    ] = 30,
    seed: Annotated[int, typer.Option(help="Seed of the choice of subnets.", metavar="K", min=0)] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="YAML file to write.", metavar="FILE", show_default="found by NAME later"),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Write over the file that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Make a device of measured latencies of whole subnets, chosen for what they tell.

    Further commands: oncefit profile COMMAND --help.
    """
    if from_csv is None:
        raise InputError(
            f"oncefit profile {name} needs --from-csv FILE with measured subnets; --device host of a search "
            "measures this machine"
        )
    raise InputError("--from-csv is not there yet")
