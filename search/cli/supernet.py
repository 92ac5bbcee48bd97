"""``oncefit supernet``: look at supernets, be they ours or one's own, and make one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.options import Json

if TYPE_CHECKING:
    from rich.table import Table

    from oncefit.testing import SupernetCheck

app = typer.Typer(help="Look at supernets, and make one.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def group() -> None:
    """Look at supernets, and make one."""


@app.command("check")
def check_one_supernet(
    supernet: Annotated[str, typer.Argument(help="Name, or YAML file.", metavar="FILE")],
    archs: Annotated[int, typer.Option(help="How many archs to look at.", metavar="N")] = 8,
    seed: Annotated[int, typer.Option(help="Of archs and weights.", metavar="N")] = 0,
    as_json: Json = False,
) -> None:
    """Check that a supernet is what oncefit takes it for.

    Its layers are held against the running networks, its subnets against the elastic network, its costs against
    torch's counter. It needs neither weights nor images. The exit code is 2 where a check fails.
    """
    from oncefit.testing import look_at_supernet
    from search.cli import terminal
    from supernet.bounds import MOST_SEED, check_between

    check_between(seed, 0, MOST_SEED, "--seed")
    found = look_at_supernet(supernet, archs=archs, seed=seed)
    if as_json:
        terminal.print_json(found.to_dict())
    else:
        terminal.show_titled(found.summary, checks_table(found), found.details)
    if found.failed:
        raise typer.Exit(2)


def checks_table(found: SupernetCheck) -> Table:
    """A row a check."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE)
    for heading in ("check", "", "what is checked"):
        made.add_column(heading)
    for one in found.outcomes:
        made.add_row(
            one.name, one.verdict, one.about if one.left_out is None else f"{one.about}: {one.left_out}"
        )
    return made
