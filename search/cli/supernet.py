"""``oncefit supernet``: look at supernets, and make one."""

from __future__ import annotations

import typer

app = typer.Typer(help="Look at supernets, and make one.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def group() -> None:
    """Look at supernets, and make one."""
